// Package sql is the SQL sink: each event becomes a row of a table in PostgreSQL, MySQL (MariaDB) or SQLite.
//
//	Deliver ─▶ rows of each table ─▶ BEGIN ─▶ one statement a table ─▶ COMMIT ─▶ delivered
//	            │                              │ an error of a row: split, until the bad rows stand alone
//	            └ no value for its column      └─▶ the dead letters, with the database's message; all others are in
//
// The rules:
//
//   - A delivery is one transaction, whatever the agent has taken: up to the channel's transactionCapacity or 16 MB.
//     PostgreSQL gets rows by COPY where sql.mode is insert, else all get INSERT … VALUES with many rows.
//   - What an error means is told by SQLSTATE and error number (package sqldb). An error of the row splits the statement, at
//     the row that the database names, else in the middle, left before right; so of two rows with one key the later one is
//     bad. A deadlock or a serialization failure repeats the transaction. Everything else fails the delivery: the connection
//     is opened anew, and the whole batch is offered again.
//   - Where constraints are checked at COMMIT alone, the batch is halved into transactions until the bad rows stand alone.
//   - With sql.exactlyOnce the transaction also writes which positions of Kafka are done, and rows that are done are left
//     out (positions.go).
//   - Without it a COMMIT without an answer may have been done: with sql.mode = insert its rows can come twice, or be refused for
//     their keys. upsert and ignore take them as they are.
//   - Names that are made of headers are letters, digits and underscores, or the event is rejected; they are quoted all the
//     same. A table that such a name leads to and that is not there, or has not the columns, rejects the event; one that the
//     configuration names is waited for.
//   - With upsert only the last of several rows with one key is sent to PostgreSQL, which takes no two in a statement.
package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// Kind is the SQL sink, which Flume does not have.
var Kind = kind()

func kind() flume.Kind[flume.Sink] {
	k := flume.Define[Settings, flume.Sink]("sql", "", "Writes events as rows into PostgreSQL, MySQL, MariaDB or SQLite.", open)
	k.Unlisted = true
	return k
}

// A mode is what becomes of a row whose key is there.
type mode string

const (
	insert mode = "insert"
	upsert mode = "upsert"
	ignore mode = "ignore"
)

// Settings is what the sink can be told.
type Settings struct {
	db        sqldb.Settings
	table     string
	columns   conf.Values
	types     conf.Values
	mode      mode
	key       []string
	batchSize int
	once      bool
	onceTable string
	onceName  string

	name []namePart
	exps []expression // one for each of columns
}

// A namePart is a part of a table's name.
type namePart struct {
	template *escape.Template
	fixed    bool // it is the same for all events, and so the configuration's
}

// Declare declares the settings. All are Sluice's own.
func (s *Settings) Declare(d *conf.Decl) {
	d.Under("sql.", &s.db)
	d.String(&s.table, "sql.table", "", "The table, table or schema.table; %{header} and %Y%m%d stand for their values, which may be letters, digits and underscores.").Required()
	d.Rest(&s.columns, "sql.columns.", "sql.columns.COLUMN = EXPRESSION fills a column: $.path into the body, %{header}, body, time, now, 'text', a number; A ?? B is the first that is there.")
	d.Rest(&s.types, "sql.types.", "sql.types.COLUMN = TYPE is the column's type for sql prepare, which makes tables; the sink reads the real ones.")
	conf.Choice(d, &s.mode, "sql.mode", insert, "What becomes of a row whose key is there: insert rejects it, upsert replaces its columns, ignore leaves what is there.", insert, upsert, ignore)
	d.Strings(&s.key, "sql.key", "", "The columns that a row is known by, separated by blanks or commas; upsert needs it.")
	d.BatchSize(&s.batchSize, "batchSize", 100, "How many events are a batch. More go at once where they have arrived.").AtLeast(1)
	d.Bool(&s.once, "sql.exactlyOnce", false, "Whether to keep in the database which events of Kafka have been written, in the transaction of their rows, so that none is written twice.")
	d.String(&s.onceTable, "sql.exactlyOnce.table", "sluice_positions", "The table for that, table or schema.table; sql prepare makes it.")
	d.String(&s.onceName, "sql.exactlyOnce.name", "", "The name of the sink there; sinks of one name write each event once between them. The default is sql.table.")
	d.Check(s.check)
}

// ExactlyOnce asks for positions. Where an event goes does not matter: it is known by its position alone.
func (s *Settings) ExactlyOnce() (setting string, headers []string) {
	if !s.once {
		return "", nil
	}
	return "sql.exactlyOnce", nil
}

// done is what knows of positions; nil without sql.exactlyOnce.
func (s *Settings) done() *done {
	if !s.once {
		return nil
	}
	d := &done{table: strings.Split(s.onceTable, "."), name: s.onceName, known: &position.Set{}}
	if d.name == "" {
		d.name = s.table
	}
	return d
}

func (s *Settings) check() error {
	var problems []error
	problem := func(key string, err error) { problems = append(problems, conf.At(key, err)) }
	if err := s.parseTable(); err != nil {
		problem("sql.table", err)
	}
	if len(s.columns) == 0 {
		problem("sql.columns", errors.New("no column is filled: sql.columns.COLUMN = EXPRESSION"))
	}
	s.exps = make([]expression, len(s.columns))
	for i, c := range s.columns {
		var err error
		key := "sql.columns." + c.Key
		if strings.Contains(c.Key, "%") || strings.ContainsRune(c.Key, 0) {
			problem(key, errors.New("the names of columns are fixed: no escapes"))
		} else if s.exps[i], err = parseExpression(c.Text); err != nil {
			problem(key, err)
		}
	}
	var keys []string
	for _, word := range s.key {
		for name := range strings.SplitSeq(word, ",") {
			if name == "" {
				continue
			}
			keys = append(keys, name)
			if _, ok := s.columns.Get(name); !ok {
				problem("sql.key", fmt.Errorf("the column %s of the key is not filled; sql.columns.%s = EXPRESSION does it", name, name))
			}
		}
	}
	s.key = keys
	if s.mode == upsert && len(s.key) == 0 {
		problem("sql.key", errors.New("is needed with sql.mode = upsert: the columns of the table's primary or unique key"))
	}
	if parts := strings.Split(s.onceTable, "."); len(parts) > 2 || slices.Contains(parts, "") {
		problem("sql.exactlyOnce.table", fmt.Errorf("%q is not table or schema.table", s.onceTable))
	}
	if d := s.done(); d != nil && (utf8.RuneCountInString(d.name) > 190 || !utf8.ValidString(d.name)) {
		problem("sql.exactlyOnce.name", errors.New("is longer than 190 characters"))
	}
	for _, c := range s.types {
		if _, ok := s.columns.Get(c.Key); !ok {
			problems = append(problems, conf.Warn("sql.types."+c.Key, errors.New("is the type of a column that is not filled")))
		}
	}
	return errors.Join(problems...)
}

// parseTable cuts the name at its dots; those within an escape belong to it.
func (s *Settings) parseTable() error {
	s.name = nil
	from, inside := 0, false
	var parts []string
	for i := 0; i < len(s.table); i++ {
		switch c := s.table[i]; {
		case c == '{' && i > 0 && s.table[i-1] == '%':
			inside = true
		case c == '}':
			inside = false
		case c == '.' && !inside:
			parts = append(parts, s.table[from:i])
			from = i + 1
		}
	}
	parts = append(parts, s.table[from:])
	if len(parts) > 2 {
		return errors.New("has more parts than schema.table")
	}
	for _, part := range parts {
		t, err := escape.Parse(part, escape.Options{})
		if err != nil {
			return err
		}
		text, fixed := t.Constant()
		if part == "" || fixed && strings.ContainsRune(text, 0) {
			return errors.New("has a part without a name")
		}
		s.name = append(s.name, namePart{t, fixed})
	}
	return nil
}

// fixedTable reports whether all events go to one table.
func (s *Settings) fixedTable() bool {
	for _, p := range s.name {
		if !p.fixed {
			return false
		}
	}
	return true
}

// Destinations is the database, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint(s.db.Endpoint())}
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	host := escape.LocalHost(ctx)
	for i := range s.name {
		s.name[i].template.Resolve(host)
		if _, fixed := s.name[i].template.Constant(); fixed {
			s.name[i].fixed = true
		}
	}
	for _, e := range s.exps {
		for _, t := range e {
			if t.text != nil {
				t.text.Resolve(host)
			}
		}
	}
	k := newSink(s, env)
	if err := k.connect(ctx); err != nil {
		return nil, err
	}
	return k, nil
}
