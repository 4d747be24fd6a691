package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// What is done stands in a table of the same database, written in the transaction of the rows themselves:
//
//	sink           sql.table, or sql.exactlyOnce.name
//	source_part    cluster/topic/partition
//	done_ranges    0-41,43,50-99
//
// The row of a partition is locked while events of it are written, so that two agents that have the same events, as after
// a rebalance, write them once. Rejected events are not noted: if the agent dies before they are among the dead letters,
// they come again and are rejected again.

// mostDone bounds the ranges that one transaction reads and writes, in bytes.
const mostDone = 256 << 10

// done is what the sink knows of positions.
type done struct {
	table  sqldb.Name
	name   string
	known  *position.Set    // what was done when it was last read, of the partitions that were read
	fresh  *position.Set    // rows of this batch
	places []position.Place // of the batch
	there  bool             // the table, as this connection has seen
}

// errMoved says that another agent, or this one before it lost the connection, has written events that seemed new.
var errMoved = errors.New("some of the events have been written meanwhile")

// take takes the positions off a batch.
func (d *done) take(b flume.Batch) flume.Batch {
	b, d.places = position.Cut(b)
	return b
}

// repeated reports whether an event has been written, or stands in the batch before; if not it counts as there from now on.
func (d *done) repeated(event int) bool {
	p := d.places[event]
	return p.Known && (d.known.Seen(p.Position) || d.fresh.Seen(p.Position))
}

func (d *done) add(event int) {
	if p := d.places[event]; p.Known {
		d.fresh.Add(p.Position)
	}
}

// partitions are those of the events of spans, sorted.
func (d *done) partitions(spans []span) []position.Partition {
	var set position.Set
	for _, s := range spans {
		for _, event := range s.table.events[s.from:s.to] {
			if p := d.places[event]; p.Known {
				set.Add(p.Position)
			}
		}
	}
	return set.Partitions()
}

// selection asks for the ranges of partitions and, but in SQLite, where the transaction has the whole database, locks them.
func (d *done) selection(dialect sqldb.Dialect, parts []position.Partition) string {
	b := append([]byte("SELECT source_part, done_ranges FROM "), dialect.Names(nil, d.table)...)
	b = append(b, " WHERE sink = "...)
	b = dialect.Text(b, []byte(d.name))
	b = append(b, " AND source_part IN ("...)
	for i, p := range parts {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = dialect.Text(b, []byte(p.String()))
	}
	b = append(b, ") ORDER BY source_part"...)
	if dialect != sqldb.SQLite {
		b = append(b, " FOR UPDATE"...)
	}
	return string(b)
}

// values writes rows of the table. With a nil set they are without ranges.
func (d *done) values(dialect sqldb.Dialect, parts []position.Partition, set *position.Set) []byte {
	b := append([]byte("INSERT INTO "), dialect.Names(nil, d.table)...)
	b = append(b, " (sink, source_part, done_ranges) VALUES "...)
	for i, p := range parts {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '(')
		b = append(dialect.Text(b, []byte(d.name)), ", "...)
		b = append(dialect.Text(b, []byte(p.String())), ", "...)
		text := ""
		if set != nil {
			text = set.Ranges(p).String()
		}
		b = append(dialect.Text(b, []byte(text)), ')')
	}
	return b
}

// load reads what is done in the partitions of a transaction, and locks it.
func (d *done) load(ctx context.Context, conn *sqldb.Conn, parts []position.Partition) (*position.Set, error) {
	if !d.there {
		t, err := conn.Describe(ctx, d.table)
		switch {
		case err != nil:
			return nil, err
		case t == nil:
			return nil, fmt.Errorf("there is no table %s for sql.exactlyOnce; sluice sql prepare prints and creates it", d.table)
		case t.Partly != "":
			return nil, fmt.Errorf("table %s is of the engine %s, which has no transactions: make it InnoDB", d.table, t.Partly)
		}
		d.there = true
	}
	text := d.selection(conn.Dialect, parts)
	for first := true; ; first = false {
		set := position.NewSet(mostDone)
		found := make([]bool, len(parts))
		err := conn.Query(ctx, text, func(cells []sqldb.Cell) error {
			part, err := position.ParsePartition(cells[0].Text)
			if err != nil {
				return err
			}
			ranges, err := position.ParseRanges(cells[1].Text)
			if err != nil {
				return err
			}
			if at := slices.Index(parts, part); at >= 0 {
				found[at] = true
			}
			for _, r := range ranges {
				set.AddRange(part, r)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading table %s of what is done: %w", d.table, err)
		}
		var missing []position.Partition
		for i, p := range parts {
			if !found[i] {
				missing = append(missing, p)
			}
		}
		if len(missing) == 0 {
			return set, nil
		}
		if !first {
			return nil, fmt.Errorf("reading table %s of what is done: its row for %s is not there though it was written", d.table, missing[0])
		}
		// A row that is not there cannot be locked.
		insert := d.values(conn.Dialect, missing, nil)
		if conn.Dialect == sqldb.MySQL {
			insert = append(insert, " ON DUPLICATE KEY UPDATE sink = sink"...)
		} else {
			insert = append(insert, " ON CONFLICT DO NOTHING"...)
		}
		if err := conn.Exec(ctx, string(insert)); err != nil {
			return nil, fmt.Errorf("writing table %s of what is done: %w", d.table, err)
		}
	}
}

// check finds events of spans that are done.
func (d *done) check(spans []span, set *position.Set) error {
	for _, s := range spans {
		for _, event := range s.table.events[s.from:s.to] {
			if p := d.places[event]; p.Known && set.Seen(p.Position) {
				return errMoved
			}
		}
	}
	return nil
}

// note writes that the rows of spans are done, all but the bad ones.
func (d *done) note(ctx context.Context, conn *sqldb.Conn, parts []position.Partition, spans []span, bad []badRow, set *position.Set) error {
	for _, s := range spans {
		for row := s.from; row < s.to; row++ {
			if slices.ContainsFunc(bad, func(b badRow) bool { return b.table == s.table && b.row == row }) {
				continue
			}
			if p := d.places[s.table.events[row]]; p.Known {
				set.Add(p.Position)
			}
		}
	}
	text := d.values(conn.Dialect, parts, set)
	if conn.Dialect == sqldb.MySQL {
		text = append(text, " ON DUPLICATE KEY UPDATE done_ranges = VALUES(done_ranges)"...)
	} else {
		text = append(text, " ON CONFLICT (sink, source_part) DO UPDATE SET done_ranges = EXCLUDED.done_ranges"...)
	}
	if err := conn.Exec(ctx, string(text)); err != nil {
		return fmt.Errorf("writing table %s of what is done: %w", d.table, err)
	}
	return nil
}

// create is the statement that makes the table.
func (d *done) create(dialect sqldb.Dialect) string {
	text := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (\n  sink VARCHAR(190) NOT NULL,\n  source_part VARCHAR(500) NOT NULL,\n  done_ranges %s NOT NULL,\n  PRIMARY KEY (sink, source_part)\n)",
		dialect.Names(nil, d.table), map[sqldb.Dialect]string{sqldb.Postgres: "TEXT", sqldb.MySQL: "LONGTEXT", sqldb.SQLite: "TEXT"}[dialect])
	if dialect == sqldb.MySQL {
		text += " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin" // names of topics differ by case
	}
	return text
}
