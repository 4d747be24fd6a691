package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/sqldb"
)

// A table is where rows go, and the rows of a batch that go there, written as its statement takes them:
//
//	COPY     cells between tabs, a newline behind each row; \N is NULL
//	INSERT   ,(cell,cell) for each row
type table struct {
	name    sqldb.Name
	columns []sqldb.Column // one for each of the settings
	key     []bool         // which of them are the key
	read    time.Time      // when the database was asked for it
	missing error          // why no row can go there; nil: it can
	copies  bool
	head    string // of INSERT, or what COPY is for
	tail    string

	text   []byte
	ends   []int // of each row
	events []int // the event of each row

	// PostgreSQL's upsert alone takes no two rows with one key in a statement: the last one of a batch is sent, and the
	// one before it only when that turns out to be bad.
	seen       map[string]int
	before     []int  // the row with the same key; -1: none. nil: not asked for
	superseded []bool // by a later one
}

func (t *table) start(row int) int {
	if row == 0 {
		return 0
	}
	return t.ends[row-1]
}

// live is the n-th row of from…to that is sent; -1: there are not so many.
func (t *table) live(from, to, n int) int {
	for row := from; row < to; row++ {
		if t.superseded != nil && t.superseded[row] {
			continue
		}
		if n == 0 {
			return row
		}
		n--
	}
	return -1
}

// reset forgets the rows.
func (t *table) reset() {
	t.text, t.ends, t.events = t.text[:0], t.ends[:0], t.events[:0]
	t.before, t.superseded = t.before[:0], t.superseded[:0]
	clear(t.seen)
}

// restore makes the rows what they were before a transaction.
func (t *table) restore(from, to int) {
	for row := from; t.before != nil && row < to; row++ {
		t.superseded[row] = false
	}
	for row := from; t.before != nil && row < to; row++ {
		if b := t.before[row]; b >= from {
			t.superseded[b] = true
		}
	}
}

// mostTables bounds what is remembered of tables between batches.
const mostTables = 1000

// Where a name comes from headers, a table that is not there is not looked for with each event.
const missingFor = 5 * time.Second

// doubtAfter is how old what is known of a table must be for a value that does not fit to make us ask again (doubts).
const doubtAfter = time.Second

// fill makes rows of a batch. An error is the database's; what is wrong with events is rejected.
func (k *sink) fill(ctx context.Context, b flume.Batch) error {
	if len(k.tables) > mostTables {
		clear(k.tables)
		k.last = nil
	}
	for {
		doubtful, err := k.rows(ctx, b)
		if err != nil || len(doubtful) == 0 {
			return err
		}
		for _, t := range doubtful { // it may have been altered
			delete(k.tables, keyOf(t.name))
		}
		k.last = nil
	}
}

func keyOf(n sqldb.Name) string { return strings.Join(n, "\x00") }

// rows makes rows of a batch, once, and returns the tables that had better be looked at again.
func (k *sink) rows(ctx context.Context, b flume.Batch) (doubtful []*table, err error) {
	for _, t := range k.used {
		t.reset()
	}
	k.used, k.rejected, k.settled = k.used[:0], k.rejected[:0], nil
	k.repeats = 0
	k.scope.now = time.Now()
	reject := func(i int, err error) { k.rejected = append(k.rejected, flume.Rejected{Index: i, Err: err}) }
	if k.done != nil {
		k.done.fresh = &position.Set{}
	}
	for i := range b {
		if k.done != nil && k.done.repeated(i) {
			k.repeats++
			continue
		}
		t, bad, err := k.tableOf(ctx, &b[i])
		if err != nil {
			return nil, err
		}
		if bad != nil {
			reject(i, bad)
			continue
		}
		start := len(t.text)
		if bad := k.row(t, &b[i]); bad != nil {
			t.text = t.text[:start]
			if k.doubts(t, &b[i]) && !slices.Contains(doubtful, t) {
				doubtful = append(doubtful, t)
			}
			reject(i, fmt.Errorf("making a row of table %s: %w", t.name, bad))
			continue
		}
		t.add(i, k.key)
		if k.done != nil {
			k.done.add(i)
		}
		if len(t.events) == 1 {
			k.used = append(k.used, t)
		}
	}
	return doubtful, nil
}

// doubts reports whether what is known of a table may have changed since. Who replays a dead letter has just altered it: then
// all that was known before the batch is doubtful.
func (k *sink) doubts(t *table, e *flume.Event) bool {
	if time.Since(t.read) > doubtAfter {
		return true
	}
	_, letter := e.Headers.Get(flume.LetterID)
	return letter && t.read.Before(k.scope.now)
}

// add ends a row whose text has been written.
func (t *table) add(event int, key []byte) {
	row := len(t.events)
	t.ends = append(t.ends, len(t.text))
	t.events = append(t.events, event)
	if t.seen == nil {
		return
	}
	before := -1
	if len(key) > 0 { // else a part of it is NULL, which is like no other
		if at, ok := t.seen[string(key)]; ok {
			before = at
			t.superseded[at] = true
		}
		t.seen[string(key)] = row
	}
	t.before, t.superseded = append(t.before, before), append(t.superseded, false)
}

// row writes the cells of a row.
func (k *sink) row(t *table, e *flume.Event) error {
	k.key = k.key[:0]
	known := true
	d := k.settings.db.Dialect()
	k.scope.scratch = k.scope.scratch[:0]
	for i := range t.columns {
		v, err := k.settings.exps[i].of(e, &k.scope)
		if err != nil {
			return fmt.Errorf("column %s: %w", t.columns[i].Name, err)
		}
		c, err := convert(v, &t.columns[i], d, &k.scope)
		if err != nil {
			return err
		}
		from := len(t.text)
		if t.copies {
			t.text = appendCopied(t.text, c, i == 0)
		} else {
			t.text = appendLiteral(t.text, c, d, i == 0)
		}
		if t.seen != nil && t.key[i] {
			known = known && c.form != null
			k.key = append(append(k.key, t.text[from+1:]...), 0)
		}
	}
	if !known {
		k.key = k.key[:0]
	}
	if t.copies {
		t.text = append(t.text, '\n')
	} else {
		t.text = append(t.text, ')')
	}
	return nil
}

// appendCopied appends a cell in COPY's text format.
func appendCopied(dst []byte, c cell, first bool) []byte {
	if !first {
		dst = append(dst, '\t')
	}
	switch c.form {
	case null:
		return append(dst, `\N`...)
	case bare:
		dst = append(dst, `\\x`...)
		const digits = "0123456789abcdef"
		for _, b := range c.text {
			dst = append(dst, digits[b>>4], digits[b&15])
		}
		return dst
	case plain:
		return append(dst, c.text...)
	case quoted:
	}
	from := 0
	for i, b := range c.text {
		var letter byte
		switch b {
		case '\\':
			letter = '\\'
		case '\t':
			letter = 't'
		case '\n':
			letter = 'n'
		case '\r':
			letter = 'r'
		default:
			continue
		}
		dst = append(append(dst, c.text[from:i]...), '\\', letter)
		from = i + 1
	}
	return append(dst, c.text[from:]...)
}

// appendLiteral appends a cell as SQL.
func appendLiteral(dst []byte, c cell, d sqldb.Dialect, first bool) []byte {
	if first {
		dst = append(dst, ',', '(')
	} else {
		dst = append(dst, ',')
	}
	switch c.form {
	case null:
		return append(dst, "NULL"...)
	case bare:
		return d.Binary(dst, c.text)
	case quoted:
		return d.Text(dst, c.text)
	case plain:
	}
	return append(dst, c.text...)
}

// tableOf finds the table of an event. bad is what is wrong with the event.
func (k *sink) tableOf(ctx context.Context, e *flume.Event) (t *table, bad, err error) {
	fixed := k.settings.fixedTable()
	if fixed && k.last != nil {
		return k.last, nil, nil
	}
	k.name = k.name[:0]
	var ends [2]int
	for i, p := range k.settings.name {
		from := len(k.name)
		if k.name, bad = p.template.Append(k.name, e.Headers, k.scope.now); bad != nil {
			return nil, fmt.Errorf("choosing a table: %w", bad), nil
		}
		if part := k.name[from:]; !p.fixed {
			if bad := checkName(part); bad != nil {
				return nil, fmt.Errorf("choosing a table: %.80q %w", part, bad), nil
			}
		}
		ends[i] = len(k.name)
		k.name = append(k.name, 0)
	}
	t, ok := k.tables[string(k.name[:len(k.name)-1])]
	if !ok || t.missing != nil && time.Since(t.read) > missingFor {
		name := sqldb.Name{}
		from := 0
		for i := range k.settings.name {
			name = append(name, string(k.name[from:ends[i]]))
			from = ends[i] + 1
		}
		if t, err = k.describe(ctx, name); err != nil {
			return nil, nil, err
		}
		if !fixed || t.missing == nil {
			k.tables[keyOf(name)] = t
		}
	}
	switch {
	case t.missing == nil:
		k.last = t
		return t, nil, nil
	case fixed:
		return nil, nil, t.missing
	}
	return nil, t.missing, nil
}

// checkName refuses what a header must not make a name of.
func checkName(name []byte) error {
	switch {
	case len(name) == 0:
		return errors.New("is no name")
	case len(name) > 63:
		return errors.New("is longer than 63 bytes, the most that a table's name may have")
	case !utf8.Valid(name):
		return errors.New("is not UTF-8")
	}
	for _, c := range string(name) {
		if c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return errors.New("is no table's name: from headers it may have letters, digits and underscores")
		}
	}
	return nil
}

// describe asks the database for a table.
func (k *sink) describe(ctx context.Context, name sqldb.Name) (*table, error) {
	s := k.settings
	found, err := k.conn.Describe(ctx, name)
	if err != nil {
		return nil, err
	}
	t := &table{name: name, read: time.Now()}
	if found == nil {
		t.missing = fmt.Errorf("there is no table %s%s", name, k.hint(ctx, name))
		return t, nil
	}
	if found.Partly != "" {
		t.missing = fmt.Errorf("table %s is of the engine %s, which has no transactions: make it InnoDB", name, found.Partly)
		return t, nil
	}
	var unknown []string
	for _, v := range s.columns {
		c, ok := found.Column(s.db.Dialect(), v.Key)
		if !ok {
			unknown = append(unknown, v.Key)
		}
		t.columns = append(t.columns, c)
		t.key = append(t.key, slices.Contains(s.key, v.Key))
	}
	if unknown != nil {
		var has []string
		for _, c := range found.Columns {
			has = append(has, c.Name)
		}
		t.missing = fmt.Errorf("table %s has no column %s; it has %s", name, strings.Join(unknown, " and no "), strings.Join(has, ", "))
		return t, nil
	}
	t.copies = found.Copies && s.mode == insert
	t.head, t.tail = s.statement(name, t)
	if s.mode == upsert && s.db.Dialect() == sqldb.Postgres {
		t.seen, t.before, t.superseded = map[string]int{}, []int{}, []bool{}
	}
	return t, nil
}

// hint says what may be meant where a name is not found.
func (k *sink) hint(ctx context.Context, name sqldb.Name) string {
	lower := slices.Clone(name)
	lower[len(lower)-1] = strings.ToLower(lower[len(lower)-1])
	if k.conn.Dialect == sqldb.Postgres && lower[len(lower)-1] != name[len(name)-1] {
		if t, err := k.conn.Describe(ctx, lower); err == nil && t != nil {
			return fmt.Sprintf("; there is %s (cases count)", lower)
		}
	}
	return "; sluice sql prepare prints and creates what the configuration needs"
}

// statement is what stands before and behind the rows.
func (s *Settings) statement(name sqldb.Name, t *table) (head, tail string) {
	d := s.db.Dialect()
	list := func(columns []sqldb.Column, each func(b []byte, name string) []byte) []byte {
		var b []byte
		for i, c := range columns {
			if i > 0 {
				b = append(b, ',', ' ')
			}
			b = each(b, c.Name)
		}
		return b
	}
	into := d.Names(nil, name)
	into = append(append(append(into, " ("...), list(t.columns, d.Ident)...), ')')
	if t.copies {
		return string(into), ""
	}
	head = "INSERT INTO "
	if d == sqldb.SQLite {
		head = "INSERT OR ABORT INTO " // a statement that fails leaves nothing, whatever the table says of its constraints
	}
	head += string(into) + " VALUES "
	var keys, others []sqldb.Column
	for i, c := range t.columns {
		if t.key[i] {
			keys = append(keys, c)
		} else {
			others = append(others, c)
		}
	}
	set := func(form string) string {
		return string(list(others, func(b []byte, name string) []byte {
			quoted := string(d.Ident(nil, name))
			return append(b, strings.ReplaceAll(form, "?", strings.ReplaceAll(quoted, "?", "\x00"))...)
		}))
	}
	first := string(d.Ident(nil, t.columns[0].Name))
	switch {
	case s.mode == insert:
	case d == sqldb.MySQL && (s.mode == ignore || others == nil):
		tail = " ON DUPLICATE KEY UPDATE " + first + " = " + first
	case d == sqldb.MySQL:
		tail = " ON DUPLICATE KEY UPDATE " + set("? = VALUES(?)")
	case s.mode == ignore && keys == nil:
		tail = " ON CONFLICT DO NOTHING"
	case s.mode == ignore || others == nil:
		tail = " ON CONFLICT (" + string(list(keys, d.Ident)) + ") DO NOTHING"
	default:
		tail = " ON CONFLICT (" + string(list(keys, d.Ident)) + ") DO UPDATE SET " + set("? = EXCLUDED.?")
	}
	return head, strings.ReplaceAll(tail, "\x00", "?")
}
