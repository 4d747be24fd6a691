package sqldb

import (
	"context"
	"fmt"
	"strings"
)

// A Class is what sort of values a column takes.
type Class int

// The classes. What is none of the others is Other: a value goes there as text, and the database judges it.
const (
	Other     Class = iota
	Integer         // whole numbers
	Number          // numbers with a fraction
	Boolean         // PostgreSQL's; elsewhere it is an Integer
	Text            // characters
	Binary          // bytes
	Timestamp       // date and time of day
	Instant         // date and time of day with a zone
	Date            // a day
	JSON            // a JSON text
	Array           // PostgreSQL's arrays
)

// A Column is one column of a table.
type Column struct {
	Name  string
	Type  string // as the database writes it
	Class Class
}

// A Table is what the database says of one.
type Table struct {
	Columns []Column
	Copies  bool // COPY can write it
	// Partly: a statement that fails leaves the rows before the bad one, for the table has no transactions.
	Partly string // the storage engine; empty: it has them
}

// Column finds a column by its name, exactly or, where the database does not tell cases apart, in any case.
func (t *Table) Column(d Dialect, name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name || d != Postgres && strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Column{}, false
}

// Describe reads a table; without one it returns nil.
func (c *Conn) Describe(ctx context.Context, name Name) (*Table, error) {
	t := &Table{}
	var err error
	switch c.Dialect {
	case Postgres:
		err = c.describePostgres(ctx, name, t)
	case MySQL:
		err = c.describeMySQL(ctx, name, t)
	default:
		err = c.describeSQLite(ctx, name, t)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the columns of table %s: %w", name, err)
	}
	if len(t.Columns) == 0 {
		return nil, nil
	}
	return t, nil
}

// literal is a text from the configuration or a checked name as a literal.
func (c *Conn) literal(text string) string { return string(c.Dialect.Text(nil, []byte(text))) }

func (c *Conn) describePostgres(ctx context.Context, name Name, t *Table) error {
	text := `SELECT a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory, c.relkind, c.relrowsecurity
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
		JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
		JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typbasetype = 0 THEN t.oid ELSE t.typbasetype END
		WHERE a.attrelid = to_regclass(` + c.literal(string(c.Dialect.Names(nil, name))) + `) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`
	return c.Query(ctx, text, func(v []Cell) error {
		t.Columns = append(t.Columns, Column{v[0].Text, v[1].Text, postgresClass(v[2].Text, v[3].Text)})
		t.Copies = (v[4].Text == "r" || v[4].Text == "p") && v[5].Text == "f"
		return nil
	})
}

func postgresClass(name, category string) Class {
	switch name {
	case "int2", "int4", "int8", "oid":
		return Integer
	case "float4", "float8", "numeric":
		return Number
	case "bool":
		return Boolean
	case "bytea":
		return Binary
	case "timestamp":
		return Timestamp
	case "timestamptz":
		return Instant
	case "date":
		return Date
	case "json", "jsonb":
		return JSON
	}
	switch category {
	case "S":
		return Text
	case "A":
		return Array
	}
	return Other
}

func (c *Conn) describeMySQL(ctx context.Context, name Name, t *Table) error {
	schema := "DATABASE()"
	if len(name) > 1 {
		schema = c.literal(name[0])
	}
	text := `SELECT c.column_name, c.column_type, c.data_type, COALESCE(e.engine, ''), COALESCE(e.transactions, 'YES')
		FROM information_schema.columns c
		JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		LEFT JOIN information_schema.engines e ON e.engine = t.engine
		WHERE c.table_schema = ` + schema + ` AND c.table_name = ` + c.literal(name[len(name)-1]) + `
		ORDER BY c.ordinal_position`
	return c.Query(ctx, text, func(v []Cell) error {
		t.Columns = append(t.Columns, Column{v[0].Text, v[1].Text, mysqlClass(strings.ToLower(v[2].Text))})
		if v[4].Text != "YES" {
			t.Partly = v[3].Text
		}
		return nil
	})
}

func mysqlClass(name string) Class {
	switch name {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		return Integer
	case "decimal", "float", "double":
		return Number
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return Text
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return Binary
	case "timestamp", "datetime":
		return Timestamp
	case "date":
		return Date
	case "json":
		return JSON
	}
	return Other
}

func (c *Conn) describeSQLite(ctx context.Context, name Name, t *Table) error {
	text := `SELECT name, type FROM pragma_table_info(` + c.literal(name[len(name)-1])
	if len(name) > 1 {
		text += ", " + c.literal(name[0])
	}
	return c.Query(ctx, text+")", func(v []Cell) error {
		t.Columns = append(t.Columns, Column{v[0].Text, v[1].Text, sqliteClass(strings.ToUpper(v[1].Text))})
		return nil
	})
}

// sqliteClass goes by SQLite's own rules for declared types, with the names of dates before them.
func sqliteClass(name string) Class {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(name, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("DATETIME", "TIMESTAMP"):
		return Timestamp
	case name == "DATE":
		return Date
	case has("INT", "BOOL"):
		return Integer
	case has("CHAR", "CLOB", "TEXT"):
		return Text
	case has("BLOB"):
		return Binary
	case has("REAL", "FLOAT", "DOUBLE", "NUMERIC", "DECIMAL"):
		return Number
	case has("JSON"):
		return JSON
	}
	return Other
}
