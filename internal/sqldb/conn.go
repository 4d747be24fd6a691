package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// A Conn is one connection. It is used by one goroutine.
type Conn struct {
	Dialect Dialect

	timeout time.Duration
	pg      *pgconn.PgConn // PostgreSQL
	db      *sql.DB        // the others
	conn    *sql.Conn
	most    int // bytes of a statement; 0: no bound that matters
}

// Purpose says what a connection is for.
type Purpose struct {
	Name   string // the client's, where the server shows one
	Create bool   // SQLite: make the file if it is not there
}

// Connect opens a connection. No error holds the password.
func (s *Settings) Connect(ctx context.Context, p Purpose) (*Conn, error) {
	user, password, err := s.account()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.connectTimeout)
	defer cancel()
	c := &Conn{Dialect: s.dialect, timeout: s.timeout}
	switch s.dialect {
	case Postgres:
		err = s.connectPostgres(ctx, c, p, user, password)
	case MySQL:
		err = s.connectMySQL(ctx, c, p, user, password)
	default:
		err = s.connectSQLite(ctx, c, p)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connecting to %s: %w", s.Shown(), discreet(err, password))
	}
	return c, nil
}

// discreet is an error whose text does not have the password.
func discreet(err error, password string) error {
	text := err.Error()
	if password == "" || !strings.Contains(text, password) {
		return err
	}
	return errors.New(strings.ReplaceAll(text, password, "xxxxx"))
}

func (s *Settings) connectPostgres(ctx context.Context, c *Conn, p Purpose, user, password string) error {
	u := *s.url
	u.User = nil
	if user != "" {
		u.User = url.User(user)
	}
	config, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return err
	}
	if password != "" {
		config.Password = password
	}
	for name, value := range map[string]string{
		"application_name": p.Name, "timezone": "UTC", "client_encoding": "UTF8", "datestyle": "ISO, YMD", "standard_conforming_strings": "on",
	} {
		config.RuntimeParams[name] = value
	}
	c.pg, err = pgconn.ConnectConfig(ctx, config)
	return err
}

// largest bounds statements, so that no server sees a longer one than it must and memory is not held twice.
const largest = 1 << 20

func (s *Settings) connectMySQL(ctx context.Context, c *Conn, p Purpose, user, password string) error {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Timeout = user, password, s.connectTimeout
	config.DBName = strings.Trim(s.url.Path, "/")
	config.Net, config.Addr = "tcp", s.url.Host
	if s.url.Port() == "" {
		config.Addr += ":3306"
	}
	config.Logger = &mysql.NopLogger{}
	config.MaxAllowedPacket = 0 // what the server says
	config.ConnectionAttributes = "program_name:" + p.Name
	if err := config.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return err
	}
	config.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO')"}
	for name, values := range s.url.Query() {
		switch name {
		case "tls":
			config.TLSConfig = values[0]
		case "socket":
			config.Net, config.Addr = "unix", values[0]
		case "allowCleartextPasswords":
			config.AllowCleartextPasswords = values[0] == "true"
		default:
			return fmt.Errorf("the URL has %q; it takes tls, socket and allowCleartextPasswords", name)
		}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	if err := c.pin(ctx, sql.OpenDB(connector)); err != nil {
		return err
	}
	return c.Query(ctx, "SELECT @@max_allowed_packet", func(cells []Cell) error {
		n, err := strconv.Atoi(cells[0].Text)
		c.most = n / 2
		return err
	})
}

func (s *Settings) connectSQLite(ctx context.Context, c *Conn, p Purpose) error {
	q := s.url.Query()
	q.Set("mode", "rw")
	if p.Create {
		q.Set("mode", "rwc")
	}
	q["_pragma"] = append([]string{"foreign_keys(1)", "busy_timeout(10000)"}, q["_pragma"]...)
	name := url.URL{Scheme: "file", Path: file(s.url), RawQuery: q.Encode()}
	if s.url.Opaque != "" {
		name = url.URL{Scheme: "file", Opaque: s.url.Opaque, RawQuery: q.Encode()}
	}
	return c.pin(ctx, sql.OpenDB(connector{name.String()}))
}

// A connector opens SQLite's connections without the list of drivers.
type connector struct{ name string }

// Connect is driver.Connector's.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	return (&sqlite.Driver{}).Open(c.name)
}

// Driver is driver.Connector's.
func (c connector) Driver() driver.Driver { return &sqlite.Driver{} }

// pin takes one connection, which is never replaced by another.
func (c *Conn) pin(ctx context.Context, db *sql.DB) error {
	db.SetMaxOpenConns(1)
	c.db = db
	var err error
	if c.conn, err = db.Conn(ctx); err != nil {
		return err
	}
	return c.conn.PingContext(ctx)
}

// Close ends the connection.
func (c *Conn) Close() {
	if c.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// A connection that is closed in any way is closed.
		_ = c.pg.Close(ctx)
		select {
		case <-c.pg.CleanupDone():
		case <-ctx.Done():
		}
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if c.db != nil {
		_ = c.db.Close()
	}
}

// Most is how many bytes a statement should have at most; a statement for one row may have more.
func (c *Conn) Most() int {
	if c.most > 0 && c.most < largest {
		return c.most
	}
	return largest
}

// Exec runs statements; of several, separated by semicolons, PostgreSQL alone knows.
func (c *Conn) Exec(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.pg == nil {
		_, err := c.conn.ExecContext(ctx, text)
		return c.late(ctx, err)
	}
	return c.late(ctx, c.pg.Exec(ctx, text).Close())
}

// Commit ends a transaction. What the server has rolled back instead, as PostgreSQL does in silence, is an error.
func (c *Conn) Commit(ctx context.Context) error {
	if c.pg == nil {
		return c.Exec(ctx, "COMMIT")
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	results, err := c.pg.Exec(ctx, "COMMIT").ReadAll()
	if err != nil {
		return c.late(ctx, err)
	}
	if tag := results[len(results)-1].CommandTag.String(); tag != "COMMIT" {
		return fmt.Errorf("the server answered COMMIT with %s", tag)
	}
	return nil
}

// Copy sends rows in the text format of COPY; only PostgreSQL has it. into is what stands between COPY and FROM.
func (c *Conn) Copy(ctx context.Context, into string, from io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.pg.CopyFrom(ctx, from, "COPY "+into+" FROM STDIN")
	return c.late(ctx, err)
}

// late says of an error that it is our patience that ended.
func (c *Conn) late(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer for %v (sql.timeout): %w", c.timeout, context.DeadlineExceeded)
	}
	return err
}

// A Cell is one value of an answer, as text.
type Cell struct {
	Text string
	Null bool
}

// Query runs a statement and calls row with each row of the answer; the cells are good until it returns.
func (c *Conn) Query(ctx context.Context, text string, row func(cells []Cell) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.pg == nil {
		return c.late(ctx, c.rows(ctx, text, row))
	}
	results := c.pg.Exec(ctx, text)
	var wrong error
	var cells []Cell
	for results.NextResult() {
		reader := results.ResultReader()
		for reader.NextRow() {
			cells = cells[:0]
			for _, v := range reader.Values() {
				cells = append(cells, Cell{string(v), v == nil})
			}
			if wrong == nil {
				wrong = row(cells)
			}
		}
		if _, err := reader.Close(); err != nil {
			break // Close says it again
		}
	}
	if err := results.Close(); err != nil {
		return c.late(ctx, err)
	}
	return wrong
}

func (c *Conn) rows(ctx context.Context, text string, row func(cells []Cell) error) error {
	rows, err := c.conn.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err has what is wrong
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	cells := make([]Cell, len(columns))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			cells[i] = Cell{v.String, !v.Valid}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return rows.Err()
}
