package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/sqldb"
	"github.com/sluice-io/sluice/internal/supervise"
)

// mostBytes bounds what one delivery holds.
const mostBytes = 16 << 20

// tries is how often a transaction is repeated that was undone for the sake of others, before the agent waits longer.
const tries = 10

// sink writes batches, one at a time.
type sink struct {
	settings  *Settings
	client    string // the name that the server shows
	log       *slog.Logger
	conn      *sqldb.Conn // nil: none
	tables    map[string]*table
	used      []*table // by the batch, in the order of their first rows
	scope     scope
	last      *table // of the event before
	name      []byte
	key       []byte
	statement []byte // the last one, whose room is used again

	done *done // nil: without sql.exactlyOnce

	connections, closed, refused, repeated, skipped *atomic.Int64

	repeats  int // events of the batch that are done
	rejected []flume.Rejected
	settled  []bool // events of the batch that a transaction has settled already; nil while none has
}

func newSink(s *Settings, env flume.Env) *sink {
	return &sink{settings: s, client: "sluice " + env.Agent + "." + env.Name, log: env.Log, tables: map[string]*table{},
		connections: env.Counter("ConnectionCreatedCount"), closed: env.Counter("ConnectionClosedCount"), refused: env.Counter("ConnectionFailedCount"),
		done: s.done(), skipped: env.Counter("RepetitionCount"),
		repeated: env.Counter("TransactionRepeatCount"),
	}
}

// Limits is flume.Sink's.
func (k *sink) Limits() flume.Limits { return flume.Limits{Bytes: mostBytes} }

// Close ends the connection.
func (k *sink) Close() error {
	k.drop()
	return nil
}

func (k *sink) connect(ctx context.Context) error {
	if k.conn != nil {
		return nil
	}
	var err error
	if k.conn, err = k.settings.db.Connect(ctx, sqldb.Purpose{Name: k.client}); err != nil {
		k.refused.Add(1)
		return err
	}
	k.connections.Add(1)
	return nil
}

// drop gives the connection up, and with it what is known of the tables.
func (k *sink) drop() {
	if k.conn != nil {
		k.conn.Close()
		k.conn = nil
		k.closed.Add(1)
	}
	clear(k.tables)
	k.last = nil
	if k.done != nil {
		k.done.there = false
	}
}

// Deliver is flume.Sink's.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error {
	if k.done != nil {
		b = k.done.take(b)
	}
	pause := supervise.Backoff{Least: 10 * time.Millisecond, Most: time.Second}
	for try := 1; ; try++ {
		err := k.deliver(ctx, b)
		switch {
		case err == nil:
			k.skipped.Add(int64(k.repeats))
			return k.outcome()
		case sqldb.FaultOf(err) != sqldb.Again && !errors.Is(err, errMoved):
			k.drop()
			return k.failed(len(b), err)
		case try == tries:
			return k.failed(len(b), err)
		}
		if k.settled != nil { // what is done must not be done again
			return k.failed(len(b), err)
		}
		k.repeated.Add(1)
		if supervise.Sleep(ctx, pause.Next()) != nil {
			return err
		}
	}
}

// outcome is the result of a batch that is settled.
func (k *sink) outcome() error {
	if len(k.rejected) == 0 {
		return nil
	}
	slices.SortFunc(k.rejected, func(a, b flume.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return &flume.PartialError{Rejected: slices.Clone(k.rejected)}
}

// failed is the result of a batch of which nothing, or what settled says, is done.
func (k *sink) failed(n int, err error) error {
	err = fmt.Errorf("writing to %s: %w", k.settings.db.Shown(), sqldb.Reason(err))
	if k.settled == nil {
		return err
	}
	partial := &flume.PartialError{InOrder: true, Err: err}
	for i := range n {
		if !k.settled[i] {
			partial.Pending = append(partial.Pending, i)
		}
	}
	for _, r := range k.rejected {
		if k.settled[r.Index] {
			partial.Rejected = append(partial.Rejected, r)
		}
	}
	slices.SortFunc(partial.Rejected, func(a, b flume.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return partial
}

// deliver is one try.
func (k *sink) deliver(ctx context.Context, b flume.Batch) error {
	if err := k.connect(ctx); err != nil {
		return err
	}
	if err := k.fill(ctx, b); err != nil {
		return err
	}
	var spans []span
	for _, t := range k.used {
		spans = append(spans, span{t, 0, len(t.events)})
	}
	if len(spans) == 0 {
		return nil
	}
	return k.settle(ctx, spans, len(b))
}

// A span is some rows of a table, from up to but not to.
type span struct {
	table    *table
	from, to int
}

// settle writes spans in one transaction. Where the database has something against a row at COMMIT only, it halves them.
func (k *sink) settle(ctx context.Context, spans []span, events int) error {
	before := len(k.rejected)
	x := &transaction{sink: k, several: len(spans) > 1}
	err := x.run(ctx, spans)
	if err == nil {
		if k.settled != nil {
			for _, s := range spans {
				for _, at := range s.table.events[s.from:s.to] {
					k.settled[at] = true
				}
			}
		}
		return nil
	}
	if !x.committing || sqldb.FaultOf(err) != sqldb.Row {
		return err
	}
	k.rejected = k.rejected[:before]
	for _, s := range spans {
		s.table.restore(s.from, s.to)
	}
	if k.settled == nil {
		k.settled = make([]bool, events)
		for _, r := range k.rejected {
			k.settled[r.Index] = true
		}
	}
	left, right := halve(spans)
	if right == nil {
		k.reject(left[0].table, left[0].from, err)
		k.settled[left[0].table.events[left[0].from]] = true
		return nil
	}
	if err := k.settle(ctx, left, events); err != nil {
		return err
	}
	return k.settle(ctx, right, events)
}

// halve cuts spans in two; right is nil where there is one row.
func halve(spans []span) (left, right []span) {
	n := 0
	for _, s := range spans {
		n += s.to - s.from
	}
	if n == 1 {
		return spans, nil
	}
	n /= 2
	for _, s := range spans {
		size := s.to - s.from
		switch {
		case n <= 0:
			right = append(right, s)
		case size <= n:
			left = append(left, s)
		default:
			left = append(left, span{s.table, s.from, s.from + n})
			right = append(right, span{s.table, s.from + n, s.to})
		}
		n -= size
	}
	return left, right
}

// reject gives a row up.
func (k *sink) reject(t *table, row int, why error) {
	k.rejected = append(k.rejected, flume.Rejected{
		Index: t.events[row], Err: fmt.Errorf("writing to table %s: %w", t.name, sqldb.Reason(why)),
	})
}
