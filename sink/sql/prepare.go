package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/internal/sqldb"
)

// Tables are the statements that make the sink's tables. table is the name where the configuration's depends on events,
// and else may be empty.
func (s *Settings) Tables(table string) ([]string, error) {
	name, err := s.preparedName(table)
	if err != nil {
		return nil, err
	}
	d := s.db.Dialect()
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", d.Names(nil, name))
	for i, v := range s.columns {
		key := slices.Contains(s.key, v.Key)
		fmt.Fprintf(&b, "  %s %s", d.Ident(nil, v.Key), s.typeOf(i, key))
		if key && !strings.Contains(strings.ToUpper(s.typeOf(i, key)), "NOT NULL") {
			b.WriteString(" NOT NULL")
		}
		if i < len(s.columns)-1 || len(s.key) > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	if len(s.key) > 0 {
		var keys []string
		for _, k := range s.key {
			keys = append(keys, string(d.Ident(nil, k)))
		}
		fmt.Fprintf(&b, "  PRIMARY KEY (%s)\n", strings.Join(keys, ", "))
	}
	b.WriteString(")")
	switch d {
	case sqldb.MySQL:
		b.WriteString(" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4")
	case sqldb.SQLite, sqldb.Postgres:
	}
	statements := []string{b.String()}
	if once := s.done(); once != nil {
		statements = append(statements, once.create(d))
	}
	return statements, nil
}

// preparedName is the table to make.
func (s *Settings) preparedName(table string) (sqldb.Name, error) {
	if table != "" {
		parts := strings.Split(table, ".")
		if len(parts) > 2 || slices.Contains(parts, "") {
			return nil, fmt.Errorf("%q is not TABLE or SCHEMA.TABLE", table)
		}
		return parts, nil
	}
	var name sqldb.Name
	for _, p := range s.name {
		text, fixed := p.template.Constant()
		if !fixed {
			return nil, fmt.Errorf("the table %q depends on events; name one with --table", s.table)
		}
		name = append(name, text)
	}
	return name, nil
}

// typeOf is the type that a column is made with: what the settings say, else what its expression gives.
func (s *Settings) typeOf(column int, key bool) string {
	if v, ok := s.types.Get(s.columns[column].Key); ok {
		return v.Text
	}
	d := s.db.Dialect()
	types := map[sqldb.Dialect]struct{ moment, text, number, truth, bytes string }{
		sqldb.Postgres: {"TIMESTAMPTZ", "TEXT", "NUMERIC", "BOOLEAN", "BYTEA"},
		sqldb.MySQL:    {"DATETIME(3)", "LONGTEXT", "DOUBLE", "BOOLEAN", "LONGBLOB"},
		sqldb.SQLite:   {"DATETIME", "TEXT", "REAL", "INTEGER", "BLOB"},
	}[d]
	for _, t := range s.exps[column] {
		switch {
		case t.kind == eventTime || t.kind == now:
			return types.moment
		case t.kind == fixed && t.fixed.kind == number:
			return types.number
		case t.kind == fixed && t.fixed.kind == truth:
			return types.truth
		}
	}
	if key && d == sqldb.MySQL {
		return "VARCHAR(255)" // a key has no TEXT
	}
	return types.text
}

// Create runs statements in the database, which for SQLite is made.
func (s *Settings) Create(ctx context.Context, statements []string) error {
	conn, err := s.db.Connect(ctx, sqldb.Purpose{Name: "sluice sql prepare", Create: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, text := range statements {
		if err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("creating a table: %w", sqldb.Reason(err))
		}
	}
	return nil
}

// Compare writes what of the table in the database is not as the configuration needs it. False: something is not.
func (s *Settings) Compare(ctx context.Context, table string, out io.Writer) (bool, error) {
	name, err := s.preparedName(table)
	if err != nil {
		return false, err
	}
	conn, err := s.db.Connect(ctx, sqldb.Purpose{Name: "sluice sql prepare"})
	if err != nil {
		return false, err
	}
	defer conn.Close()
	found, err := conn.Describe(ctx, name)
	switch {
	case err != nil:
		return false, err
	case found == nil:
		return false, errors.New("the table is not there though it was made; is another schema searched first?")
	}
	good := true
	for _, v := range s.columns {
		if _, ok := found.Column(s.db.Dialect(), v.Key); !ok {
			good = false
			fmt.Fprintf(out, "table %s has no column %s\n", name, v.Key)
		}
	}
	return good, nil
}
