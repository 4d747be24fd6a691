// Package sqllookup is the interceptor that enriches events from a table of PostgreSQL, MySQL (MariaDB) or SQLite: what the
// row of an event's key has goes into headers. It is not in Flume.
//
//	type = sql_lookup
//	sql.url, sql.table, sql.key        the database, the table, the column that keys are looked for in
//	key.header | key.jsonPath          where an event has its key
//	header.NAME = COLUMN               the header NAME gets what that column has
//	failure = fail                     what becomes of events while the database is away: fail, wait, pass
//
//	keys of the batch ─▶ cache: one look for all ─▶ the rest: one SELECT … WHERE key IN (…) ─▶ cache ─▶ headers
//	                                                     └▶ error: the batch fails, waits, or passes and is counted
//
// The rules:
//
//   - A batch asks once, for those of its keys that the cache has not; twice only where the keys take more bytes than a
//     statement may have. There is one connection: batches ask one after the other, and who has waited looks into the cache
//     again before it asks.
//   - The cache (cache.go) is bounded in rows, bytes and time. That there is no row for a key is remembered too.
//   - Keys are compared byte by byte, whatever the column's collation is; whole numbers by their value, UUIDs in any way of
//     writing. What can be no value of the column, such as "x" where it holds numbers, is not asked for: there is no row.
//   - Of several rows with one key the first that the database sends counts. NULL leaves a header out.
//   - A connection that broke while nobody used it is opened anew within the same batch. After a failure the database is
//     left alone for a while that grows from 0.1 s to 5 s; meanwhile batches fail or pass at once.
package sqllookup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/jsonpath"
	"github.com/sluice-io/sluice/internal/sqldb"
	"github.com/sluice-io/sluice/internal/stamp"
	"github.com/sluice-io/sluice/internal/supervise"
)

// Kind is the interceptor. Flume has none.
var Kind = kind()

func kind() flume.Kind[flume.Interceptor] {
	k := flume.Define[Settings, flume.Interceptor]("sql_lookup", "", "Puts what a table of a database has for an event's key into headers.", open)
	k.Unlisted = true
	return k
}

// A fate is what becomes of an event.
type fate string

const (
	pass   fate = "pass"
	reject fate = "reject"
	fail   fate = "fail"
	wait   fate = "wait"
)

// Settings are what the interceptor can be told.
type Settings struct {
	DB               sqldb.Settings
	Table, Column    string
	Header, Path     string
	Headers          conf.Values
	PreserveExisting bool
	Missing, Unknown fate
	Failure          fate
	Rows, Bytes      int
	Age, NoneAge     time.Duration

	name sqldb.Name
	path *jsonpath.Path
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Under("sql.", &s.DB)
	d.String(&s.Table, "sql.table", "", "The table or view, table or schema.table.").Required()
	d.String(&s.Column, "sql.key", "", "The column of the table that the key of an event is looked for in: of whole numbers, texts or UUIDs, with an index.").Required()
	d.String(&s.Header, "key.header", "", "The header that has the key.")
	d.String(&s.Path, "key.jsonPath", "", "Where in a JSON body the key stands, such as $.customer.id.")
	d.Rest(&s.Headers, "header.", "header.NAME = COLUMN puts what the column has into the header NAME.")
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether a header that an event has already keeps its value.")
	conf.Choice(d, &s.Missing, "missing", pass, "What becomes of an event without a key: pass, or reject, which sends it to the dead letters.", pass, reject)
	conf.Choice(d, &s.Unknown, "unknown", pass, "What becomes of an event whose key has no row: pass, or reject, which sends it to the dead letters.", pass, reject)
	conf.Choice(d, &s.Failure, "failure", fail,
		"What becomes of a batch that needs the database while it is away: fail, so that its source keeps it and tries again; wait, here; or pass, where its events go on without the headers and EventNotLookedUpCount counts them.",
		fail, wait, pass)
	d.Int(&s.Rows, "cache.rows", 100000, "How many rows are remembered at most, the latest used ones; 0 remembers none.").AtLeast(0)
	d.Int(&s.Bytes, "cache.bytes", 64<<20, "How many bytes they may take.").AtLeast(0)
	d.Seconds(&s.Age, "cache.seconds", 5*time.Minute, "How long a row is remembered; a change in the table is seen that late.").AtLeast(0)
	d.Seconds(&s.NoneAge, "cache.unknownSeconds", 30*time.Second, "How long it is remembered that a key has no row.").AtLeast(0)
	d.Check(s.check)
}

func (s *Settings) check() error {
	var problems []error
	s.name, s.path = strings.Split(s.Table, "."), nil
	if len(s.name) > 2 || slices.Contains(s.name, "") || strings.ContainsRune(s.Table, 0) {
		problems = append(problems, conf.At("sql.table", fmt.Errorf("%q is not table or schema.table", s.Table)))
	}
	switch {
	case (s.Header == "") == (s.Path == ""):
		problems = append(problems, errors.New("where the key stands is said by key.header or by key.jsonPath; set one of them"))
	case s.Path != "":
		var err error
		if s.path, err = jsonpath.Parse(s.Path); err != nil {
			problems = append(problems, conf.At("key.jsonPath", err))
		}
	}
	if len(s.Headers) == 0 {
		problems = append(problems, errors.New("has nothing to do: set header.NAME = COLUMN"))
	}
	for _, h := range s.Headers {
		switch {
		case h.Key == flume.PositionHeader || h.Key == flume.LetterID:
			problems = append(problems, conf.At("header."+h.Key, errors.New("is a header of Sluice's own; take another name")))
		case h.Text == "":
			problems = append(problems, conf.At("header."+h.Key, errors.New("names no column")))
		}
	}
	return errors.Join(problems...)
}

// Trace says what becomes of the headers: the values are not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	for _, h := range s.Headers {
		delete(k, h.Key)
	}
	return k
}

// Unsteady names the headers: a row can change before an event comes again.
func (s *Settings) Unsteady() []string {
	var names []string
	for _, h := range s.Headers {
		names = append(names, h.Key)
	}
	return names
}

type interceptor struct {
	settings Settings
	cache    *cache
	turn     chan *asker // the asker, when no batch has it
	trouble  *supervise.Trouble

	queries, cached, without *atomic.Int64
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	i := &interceptor{
		settings: *s, cache: newCache(s.Rows, s.Bytes, s.Age, s.NoneAge), turn: make(chan *asker, 1),
		trouble: &supervise.Trouble{Log: env.Log, Failing: "The database cannot be asked; batches " + map[fate]string{
			fail: "fail and are tried again (failure = fail)", wait: "wait for it (failure = wait)",
			pass: "pass without the headers, and EventNotLookedUpCount counts their events (failure = pass)",
		}[s.Failure], Over: "The database is asked again"},
		queries: env.Counter("LookupQueryCount"), cached: env.Counter("LookupCachedCount"), without: env.Counter("EventNotLookedUpCount"),
	}
	i.turn <- &asker{settings: &i.settings, client: "sluice " + env.Agent + "." + env.Name, queries: i.queries,
		backoff: supervise.Backoff{Least: 100 * time.Millisecond, Most: 5 * time.Second}}
	return i, nil
}

// A round is one batch on its way: what is known of each of its events.
type round struct {
	keys  []string // cut from one text
	rows  []row
	state []state
}

// A state is what is known of the row of an event.
type state byte

const (
	keyless state = iota
	asking        // not known yet
	known         // row has it; nil: there is none
	poor          // it is rejected
)

// Intercept is flume.Interceptor's.
func (i *interceptor) Intercept(ctx context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	r := i.round(b)
	hits := i.cache.look(r)
	i.cached.Add(int64(hits))
	if err := i.find(ctx, r); err != nil {
		if i.settings.Failure != pass || ctx.Err() != nil {
			return nil, nil, err
		}
		n := 0
		for _, s := range r.state {
			if s == asking {
				n++
			}
		}
		i.without.Add(int64(n))
	}
	return i.write(b, r)
}

// round collects the keys of a batch.
func (i *interceptor) round(b flume.Batch) *round {
	r := &round{keys: make([]string, len(b)), rows: make([]row, len(b)), state: make([]state, len(b))}
	var text []byte
	ends := make([]int, len(b))
	for n := range b {
		var err error
		from := len(text)
		if text, err = i.key(&b[n], text); err == nil {
			r.state[n] = asking
		} else {
			text = text[:from]
		}
		ends[n] = len(text)
	}
	all, from := string(text), 0
	for n, end := range ends {
		r.keys[n] = all[from:end]
		from = end
	}
	return r
}

var errNoHeader = errors.New("it is not there")

// key appends the key of an event.
func (i *interceptor) key(e *flume.Event, dst []byte) ([]byte, error) {
	if i.settings.path != nil {
		v, err := i.settings.path.Find(e.Body)
		return append(dst, v...), err
	}
	v, ok := e.Headers.Get(i.settings.Header)
	if !ok {
		return dst, errNoHeader
	}
	return append(dst, v...), nil
}

// why says why an event is rejected; nil: it is not.
func (i *interceptor) why(e *flume.Event, r *round, n int) error {
	switch {
	case r.state[n] == keyless && i.settings.Missing == reject:
		_, err := i.key(e, nil)
		if i.settings.path != nil {
			return fmt.Errorf("looking for the key at %s in the body: %w", i.settings.path, err)
		}
		return fmt.Errorf("looking for the key in the header %q: %w", i.settings.Header, err)
	case r.state[n] == known && r.rows[n] == nil && i.settings.Unknown == reject:
		return fmt.Errorf("looking up %.100q in the column %s of table %s: there is no row", r.keys[n], i.settings.Column, i.settings.Table)
	}
	return nil
}

// find asks the database for what is not known. An error: some of it is not known still.
func (i *interceptor) find(ctx context.Context, r *round) error {
	for {
		pause, err := i.try(ctx, r)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("looking up in table %s: %w", i.settings.Table, context.Cause(ctx))
		case i.settings.Failure != wait:
			return err
		}
		if supervise.Sleep(ctx, pause) != nil {
			return err
		}
	}
}

// try asks once. With an error goes how long the database is left alone.
func (i *interceptor) try(ctx context.Context, r *round) (time.Duration, error) {
	if !slices.Contains(r.state, asking) {
		return 0, nil
	}
	var a *asker
	select {
	case a = <-i.turn:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { i.turn <- a }()
	i.cached.Add(int64(i.cache.look(r))) // who had the turn before may have asked the same
	wanted := map[string]row{}
	for n, s := range r.state {
		if s == asking {
			wanted[r.keys[n]] = nil
		}
	}
	if len(wanted) == 0 {
		return 0, nil
	}
	if pause := time.Until(a.next); pause > 0 {
		return pause, a.err
	}
	err := a.ask(ctx, wanted)
	switch {
	case err != nil && ctx.Err() != nil: // which says nothing of the database
		return 0, err
	case err != nil:
		pause := a.backoff.Next()
		a.next, a.err = time.Now().Add(pause), fmt.Errorf("looking up in table %s of %s: %w", i.settings.Table, i.settings.DB.Shown(), sqldb.Reason(err))
		i.trouble.Report(slog.LevelWarn, a.err, pause)
		return pause, a.err
	}
	a.backoff.Reset()
	i.trouble.End()
	for n, s := range r.state {
		if s == asking {
			r.rows[n], r.state[n] = wanted[r.keys[n]], known
		}
	}
	i.cache.keep(wanted)
	return 0, nil
}

// write gives the events their headers, and takes out those that are rejected.
func (i *interceptor) write(b flume.Batch, r *round) (flume.Batch, []flume.Rejection, error) {
	var pad stamp.Pad
	var rejected []flume.Rejection
	for n := range b {
		if why := i.why(&b[n], r, n); why != nil {
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: why})
			r.state[n] = poor
			continue
		}
		for at, value := range r.rows[n] {
			name := i.settings.Headers[at].Key
			if value == nil {
				continue
			}
			if i.settings.PreserveExisting {
				if _, there := b[n].Headers.Get(name); there {
					continue
				}
			}
			pad.Add(n, name, value)
		}
	}
	pad.Apply(b)
	if len(rejected) > 0 {
		n := -1
		b = b.Keep(func(*flume.Event) bool { n++; return r.state[n] != poor })
	}
	return b, rejected, nil
}

// Close ends the connection.
func (i *interceptor) Close() error {
	a := <-i.turn
	a.drop()
	i.turn <- a
	return nil
}
