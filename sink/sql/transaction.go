package sql

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// A transaction writes rows and finds the bad ones among them. In PostgreSQL a statement that fails takes the transaction
// with it, so there each begins at a savepoint; the others undo the statement alone.
type transaction struct {
	*sink
	several    bool // tables
	stale      bool // something was written since the savepoint
	committing bool
	bad        []badRow
}

// A badRow is a row that failed alone.
type badRow struct {
	table *table
	row   int
	err   error
}

// run begins, writes and commits. When it fails, all is undone.
func (x *transaction) run(ctx context.Context, spans []span) (err error) {
	begin := "START TRANSACTION"
	switch x.conn.Dialect {
	case sqldb.Postgres:
		begin = "BEGIN; SAVEPOINT s"
	case sqldb.SQLite:
		begin = "BEGIN IMMEDIATE" // a lock that is taken later may not be had at all
	case sqldb.MySQL:
	}
	if err := x.conn.Exec(ctx, begin); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() {
		if err != nil && (sqldb.FaultOf(err) != sqldb.Broken || errors.Is(err, errMoved)) { // else the connection is given up
			if undo := x.conn.Exec(ctx, "ROLLBACK"); undo != nil && x.conn.Dialect != sqldb.SQLite { // which may have done it
				err = fmt.Errorf("rolling back: %w", undo)
			}
		}
	}()
	var parts []position.Partition
	var set *position.Set
	if x.done != nil {
		if parts = x.done.partitions(spans); len(parts) > 0 {
			if set, err = x.done.load(ctx, x.conn, parts); err != nil {
				return err
			}
			if err := x.done.check(spans, set); err != nil {
				x.done.known = set
				return err
			}
			x.stale = x.conn.Dialect == sqldb.Postgres // so that the savepoint moves behind it
		}
	}
	for _, s := range spans {
		if err := x.writeSpan(ctx, s); err != nil {
			return err
		}
	}
	if err := x.again(ctx); err != nil {
		return err
	}
	if set != nil {
		if err := x.done.note(ctx, x.conn, parts, spans, x.bad, set); err != nil {
			return err
		}
	}
	x.committing = true
	if err := x.conn.Commit(ctx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	for _, b := range x.bad {
		x.reject(b.table, b.row, b.err)
	}
	if set != nil {
		x.done.known = set
	}
	return nil
}

// again tries the bad rows once more where other tables were written meanwhile: rows go table by table, so that what a
// row refers to may have come after it though it stands before it in the batch.
func (x *transaction) again(ctx context.Context) error {
	if !x.several {
		return nil
	}
	bad := x.bad
	x.bad = nil
	for _, b := range bad {
		if err := x.write(ctx, b.table, b.row, b.row+1, false); err != nil {
			return err
		}
	}
	return nil
}

// writeSpan writes rows in statements of a bounded size.
func (x *transaction) writeSpan(ctx context.Context, s span) error {
	t := s.table
	if t.copies {
		return x.write(ctx, t, s.from, s.to, false)
	}
	for from := s.from; from < s.to; {
		to := from + 1
		for to < s.to && t.ends[to]-t.start(from) < x.conn.Most() {
			to++
		}
		if err := x.write(ctx, t, from, to, false); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// write writes rows. Where the database has something against one of them they are split. It is asked for the place of the
// bad one every other time only, so that many bad rows cost n log n.
func (x *transaction) write(ctx context.Context, t *table, from, to int, halved bool) error {
	if from == to {
		return nil
	}
	err := x.send(ctx, t, from, to)
	if err == nil {
		return nil
	}
	if sqldb.FaultOf(err) != sqldb.Row {
		return err
	}
	if x.conn.Dialect == sqldb.Postgres {
		if err := x.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT s"); err != nil {
			return err
		}
		x.stale = false
	}
	if to-from == 1 {
		x.bad = append(x.bad, badRow{t, from, err})
		return x.earlier(ctx, t, from)
	}
	if n, ok := sqldb.RowOf(err); ok && !halved {
		if at := t.live(from, to, n); at >= 0 {
			if err := x.write(ctx, t, from, at, true); err != nil {
				return err
			}
			if err := x.write(ctx, t, at, at+1, true); err != nil {
				return err
			}
			return x.write(ctx, t, at+1, to, true)
		}
	}
	middle := from + (to-from)/2
	if err := x.write(ctx, t, from, middle, false); err != nil {
		return err
	}
	return x.write(ctx, t, middle, to, false)
}

// earlier writes the row that a bad one has superseded.
func (x *transaction) earlier(ctx context.Context, t *table, row int) error {
	if t.before == nil || t.before[row] < 0 {
		return nil
	}
	row = t.before[row]
	t.superseded[row] = false
	return x.write(ctx, t, row, row+1, false)
}

// send sends one statement.
func (x *transaction) send(ctx context.Context, t *table, from, to int) error {
	if x.stale {
		if err := x.conn.Exec(ctx, "RELEASE SAVEPOINT s; SAVEPOINT s"); err != nil {
			return err
		}
	}
	x.stale = x.conn.Dialect == sqldb.Postgres
	if t.copies {
		return x.conn.Copy(ctx, t.head, bytes.NewReader(t.text[t.start(from):t.ends[to-1]]))
	}
	text := append(x.statement[:0], t.head...)
	first := len(text)
	for row := from; row < to; row++ {
		if t.superseded == nil || !t.superseded[row] {
			text = append(text, t.text[t.start(row):t.ends[row]]...)
		}
	}
	x.statement = text
	if len(text) == first {
		return nil
	}
	text[first] = ' ' // the comma before the first row
	text = append(text, t.tail...)
	x.statement = text
	return x.conn.Exec(ctx, string(text))
}
