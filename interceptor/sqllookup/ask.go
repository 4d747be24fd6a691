package sqllookup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/sqldb"
	"github.com/sluice-io/sluice/internal/supervise"
)

// largestAnswer bounds the rows of one batch.
const largestAnswer = 64 << 20

// An asker has the connection. It is used by one batch at a time.
type asker struct {
	settings *Settings
	client   string // the name that the server shows
	queries  *atomic.Int64

	conn   *sqldb.Conn // nil: none
	key    form
	truths []bool // which of header.NAME's columns hold PostgreSQL's t and f
	from   string // a statement up to its keys

	// MySQL refuses a statement, and with it all keys, where one of them has characters that the column's character set has
	// not. With these around it such a key is turned into that set, and is no value of the column.
	before, behind string

	backoff supervise.Backoff
	next    time.Time // before it the database is left alone
	err     error     // why
}

// ask fills in the rows of keys; those that have none stay nil. After an error there is no connection.
func (a *asker) ask(ctx context.Context, rows map[string]row) error {
	used := a.conn != nil // and so it may have broken meanwhile
	err := a.once(ctx, rows)
	if err != nil && used && ctx.Err() == nil {
		a.drop()
		err = a.once(ctx, rows)
	}
	if err != nil {
		a.drop()
	}
	return err
}

func (a *asker) drop() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

func (a *asker) once(ctx context.Context, rows map[string]row) error {
	if err := a.connect(ctx); err != nil {
		return err
	}
	byForm := map[string][]string{} // how the column has it, to keys
	for key := range rows {
		rows[key] = nil
		if f, ok := a.key.of(key); ok {
			byForm[f] = append(byForm[f], key)
		}
	}
	total := 0
	take := func(cells []sqldb.Cell) error {
		f, ok := a.key.of(cells[0].Text)
		keys := byForm[f]
		if !ok || len(keys) == 0 || rows[keys[0]] != nil {
			return nil
		}
		r := make(row, len(cells)-1)
		for i, c := range cells[1:] {
			switch {
			case c.Null:
			case a.truths[i]:
				r[i] = strconv.AppendBool([]byte{}, c.Text == "t")
			default:
				r[i] = append([]byte{}, c.Text...)
			}
			total += cellBytes + len(r[i])
		}
		if total > largestAnswer {
			return fmt.Errorf("the rows of one batch take more than %d bytes", largestAnswer)
		}
		for _, key := range keys {
			rows[key] = r
		}
		return nil
	}
	statement := []byte(a.from)
	for _, f := range slices.Sorted(maps.Keys(byForm)) {
		if len(statement) > len(a.from) && len(statement)+4*len(f) > a.conn.Most() {
			if err := a.query(ctx, statement, take); err != nil {
				return err
			}
			statement = append(statement[:0], a.from...)
		}
		if len(statement) > len(a.from) {
			statement = append(statement, ", "...)
		}
		statement = a.literal(statement, f)
	}
	if len(statement) == len(a.from) {
		return nil
	}
	return a.query(ctx, statement, take)
}

// literal appends a key in its form.
func (a *asker) literal(dst []byte, key string) []byte {
	switch {
	case a.key == whole || a.key == unsigned:
		return append(dst, key...)
	case a.before != "" && strings.ContainsFunc(key, func(c rune) bool { return c >= utf8.RuneSelf || c == '\\' }):
		return append(a.conn.Dialect.Text(append(dst, a.before...), []byte(key)), a.behind...)
	}
	return a.conn.Dialect.Text(dst, []byte(key))
}

func (a *asker) query(ctx context.Context, statement []byte, take func([]sqldb.Cell) error) error {
	a.queries.Add(1)
	return a.conn.Query(ctx, string(append(statement, ')')), take)
}

// connect opens the connection and reads what the table is like.
func (a *asker) connect(ctx context.Context) error {
	if a.conn != nil {
		return nil
	}
	var err error
	if a.conn, err = a.settings.DB.Connect(ctx, sqldb.Purpose{Name: a.client}); err != nil {
		return err
	}
	d := a.conn.Dialect
	t, err := a.conn.Describe(ctx, a.settings.name)
	if err != nil {
		return err
	}
	if t == nil {
		return errors.New("the table is not there")
	}
	key, ok := t.Column(d, a.settings.Column)
	if !ok {
		return fmt.Errorf("it has no column %s (sql.key)", a.settings.Column)
	}
	if a.key, err = formOf(d, key); err != nil {
		return err
	}
	if err := a.characters(ctx, key.Name); err != nil {
		return err
	}
	from := d.Ident([]byte("SELECT "), key.Name)
	a.truths = a.truths[:0]
	for _, h := range a.settings.Headers {
		c, ok := t.Column(d, h.Text)
		if !ok {
			return fmt.Errorf("it has no column %s (header.%s)", h.Text, h.Key)
		}
		from = d.Ident(append(from, ", "...), c.Name)
		a.truths = append(a.truths, d == sqldb.Postgres && c.Class == sqldb.Boolean)
	}
	from = d.Ident(append(d.Names(append(from, " FROM "...), a.settings.name), " WHERE "...), key.Name)
	a.from = string(append(from, " IN ("...))
	return nil
}

// characters asks for the character set of the key's column in MySQL.
func (a *asker) characters(ctx context.Context, column string) error {
	a.before, a.behind = "", ""
	if a.conn.Dialect != sqldb.MySQL || a.key != exact {
		return nil
	}
	text := func(s string) string { return string(a.conn.Dialect.Text(nil, []byte(s))) }
	schema, name := "DATABASE()", a.settings.name
	if len(name) > 1 {
		schema = text(name[0])
	}
	return a.conn.Query(ctx, "SELECT character_set_name, collation_name FROM information_schema.columns WHERE table_schema = "+schema+
		" AND table_name = "+text(name[len(name)-1])+" AND column_name = "+text(column), func(cells []sqldb.Cell) error {
		if !cells[0].Null && !cells[1].Null {
			a.before, a.behind = "CONVERT(", " USING "+cells[0].Text+") COLLATE "+cells[1].Text
		}
		return nil
	})
}

// A form is how the values of the key's column are compared: two that are equal have one text in it.
type form byte

const (
	exact    form = iota // byte by byte
	padded               // without blanks at the end, which PostgreSQL's character(n) fills up with
	whole                // whole numbers that fit 64 bits
	unsigned             // whole numbers from 0 on that do
	uuid
)

func formOf(d sqldb.Dialect, c sqldb.Column) (form, error) {
	name, _, _ := strings.Cut(strings.ToLower(c.Type), "(")
	switch {
	case name == "uuid" && d != sqldb.SQLite:
		return uuid, nil
	case c.Class == sqldb.Integer && name != "bit":
		if strings.Contains(strings.ToLower(c.Type), "unsigned") {
			return unsigned, nil
		}
		return whole, nil
	case c.Class == sqldb.Text && d == sqldb.Postgres && name == "character":
		return padded, nil
	case c.Class == sqldb.Text:
		return exact, nil
	}
	return 0, fmt.Errorf("the column %s (sql.key) is %s; whole numbers, texts and UUIDs can be looked up, so make a view that has it as one of these", c.Name, c.Type)
}

// of is a key in its form; false: it can be no value of the column.
func (f form) of(key string) (string, bool) {
	switch f {
	case whole:
		n, err := strconv.ParseInt(key, 10, 64)
		return strconv.FormatInt(n, 10), err == nil
	case unsigned:
		n, err := strconv.ParseUint(key, 10, 64)
		return strconv.FormatUint(n, 10), err == nil
	case uuid:
		var b [16]byte
		digits := strings.ReplaceAll(strings.Trim(key, "{}"), "-", "")
		if len(digits) != 32 {
			return "", false
		}
		_, err := hex.Decode(b[:], []byte(digits))
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), err == nil
	case padded:
		key = strings.TrimRight(key, " ")
	case exact:
	}
	return key, utf8.ValidString(key) && strings.IndexByte(key, 0) < 0
}
