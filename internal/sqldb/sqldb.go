// Package sqldb is what the components that speak to a database share: where it is, one connection to it, how names and
// values are written in its SQL, what its errors mean.
//
//	Settings ─▶ Connect ─▶ Conn: Exec, Copy, Query, Describe ─▶ an error ─▶ FaultOf: Row, Again, or anything else
//
// Three databases are known: PostgreSQL, MySQL (MariaDB is one of them) and SQLite. A Conn is one connection, used by one
// goroutine; who has seen an error on it that is neither Row nor Again closes it and connects anew.
//
// Statements are texts. What comes from outside is written into them by [Dialect.Ident], [Dialect.Text] and
// [Dialect.Binary] alone, in forms that mean the same whatever the server's settings are: no backslash ever stands
// between quotes.
//
// A session is in UTF-8 and UTC, PostgreSQL's and MySQL's alike; MySQL's is strict (STRICT_ALL_TABLES), so that nothing
// is cut off or turned into another value in silence; SQLite's has foreign_keys = ON.
package sqldb

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
)

// A Dialect is one of the databases.
type Dialect string

// The databases.
const (
	Postgres Dialect = "PostgreSQL"
	MySQL    Dialect = "MySQL"
	SQLite   Dialect = "SQLite"
)

// Settings say where the database is. They are declared below a prefix such as "sql.".
type Settings struct {
	text, user, password, passwordFile string
	connectTimeout, timeout            time.Duration

	url     *url.URL
	dialect Dialect
}

// Declare declares the settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.text, "url", "", "The database: postgres://user@host:5432/database, mysql://user@host:3306/database (MariaDB too) or sqlite:/path/to/file.").
		Required().Bound(s.parse)
	d.String(&s.user, "user", "", "The user, where the URL names none.")
	d.String(&s.password, "password", "", "The password, where the URL has none; a config filter keeps it out of the file.").Secret()
	d.String(&s.passwordFile, "passwordFile", "", "The file whose first line is the password; it is read at each connection.")
	d.Millis(&s.connectTimeout, "connectTimeout", 10*time.Second, "How long to wait for a connection, in ms.").AtLeast(1)
	d.Millis(&s.timeout, "timeout", 2*time.Minute, "How long to wait for the answer to one statement, in ms; then the connection is given up.").AtLeast(1)
}

func (s *Settings) parse() error {
	u, err := url.Parse(s.text)
	if err != nil {
		return errors.New("the value is not a URL; a password with characters such as / or # goes into sql.password") // which may hold a password
	}
	switch u.Scheme {
	case "postgres", "postgresql":
		s.dialect = Postgres
	case "mysql", "mariadb":
		s.dialect = MySQL
	case "sqlite", "sqlite3":
		s.dialect = SQLite
	case "jdbc":
		return errors.New("is a URL for Java; leave jdbc: out, and write postgres://host/database, mysql://host/database or sqlite:/file")
	default:
		return errors.New("the value does not begin with postgres://, mysql://, mariadb:// or sqlite:/")
	}
	switch {
	case s.dialect == SQLite && file(u) == "":
		return errors.New("names no file: sqlite:/path/to/file")
	case s.dialect == SQLite && strings.Contains(file(u), ":memory:"):
		return errors.New("is a database in memory, which is gone with the connection; name a file: sqlite:/path/to/file")
	case s.dialect != SQLite && strings.Trim(u.Path, "/") == "":
		return errors.New("names no database: it stands behind the host and a /")
	case s.dialect == MySQL && u.Hostname() == "" && u.Query().Get("socket") == "":
		return errors.New("names no host")
	}
	s.url = u
	return nil
}

// file is the path of a SQLite database: sqlite:/a, sqlite:///a and sqlite:a.
func file(u *url.URL) string {
	if u.Opaque != "" {
		return u.Opaque
	}
	return u.Path
}

// Dialect is which database it is.
func (s *Settings) Dialect() Dialect { return s.dialect }

// Shown is the URL without its secrets.
func (s *Settings) Shown() string {
	if s.dialect == SQLite {
		return "sqlite:" + file(s.url)
	}
	v := url.URL{Scheme: s.url.Scheme, Host: s.url.Host, Path: s.url.Path}
	return v.String()
}

// Endpoint names the server, with its default port filled in, or the file.
func (s *Settings) Endpoint() string {
	port := s.url.Port()
	switch {
	case s.dialect == SQLite:
		return "sqlite://" + file(s.url)
	case port != "":
	case s.dialect == Postgres:
		port = "5432"
	default:
		port = "3306"
	}
	return strings.ToLower(string(s.dialect)) + "://" + net.JoinHostPort(s.url.Hostname(), port) + s.url.Path
}

// account is who logs in.
func (s *Settings) account() (user, password string, err error) {
	user, password = s.user, s.password
	if s.url.User != nil {
		if name := s.url.User.Username(); name != "" {
			user = name
		}
		if word, ok := s.url.User.Password(); ok {
			password = word
		}
	}
	if s.passwordFile != "" && password == "" {
		b, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return "", "", fmt.Errorf("reading the password: %w", err)
		}
		password, _, _ = strings.Cut(string(b), "\n")
		password = strings.TrimSuffix(password, "\r")
	}
	return user, password, nil
}

// A Name is a table's: its parts from the outside in, schema and table, or the table alone.
type Name []string

// String is the name as a message shows it.
func (n Name) String() string { return strings.Join(n, ".") }

// Names appends a name in SQL.
func (d Dialect) Names(dst []byte, n Name) []byte {
	for i, part := range n {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = d.Ident(dst, part)
	}
	return dst
}

// Ident appends one name in quotes.
func (d Dialect) Ident(dst []byte, name string) []byte {
	quote := byte('"')
	if d == MySQL {
		quote = '`'
	}
	dst = append(dst, quote)
	for i := 0; i < len(name); i++ {
		if name[i] == quote {
			dst = append(dst, quote)
		}
		dst = append(dst, name[i])
	}
	return append(dst, quote)
}

// Text appends a text as a literal. PostgreSQL has no NUL in texts; it refuses the form that is written here.
func (d Dialect) Text(dst, text []byte) []byte {
	quotes := 0
	for _, c := range text {
		switch c {
		case '\'':
			quotes++
		case '\\', 0:
			if d == SQLite && c == '\\' { // which has no meaning there
				continue
			}
			return d.odd(dst, text)
		}
	}
	dst = append(dst, '\'')
	if quotes == 0 {
		return append(append(dst, text...), '\'')
	}
	for _, c := range text {
		if c == '\'' {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '\'')
}

// odd writes a text whose meaning between plain quotes depends on settings of the server.
func (d Dialect) odd(dst, text []byte) []byte {
	switch d {
	case MySQL:
		return hexed(append(dst, "_utf8mb4 X'"...), text, "'")
	case SQLite:
		return hexed(append(dst, "CAST(X'"...), text, "' AS TEXT)")
	case Postgres:
	}
	dst = append(dst, "E'"...)
	for _, c := range text {
		switch c {
		case '\'', '\\':
			dst = append(dst, c, c)
		case 0:
			dst = append(dst, `\000`...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '\'')
}

// Binary appends bytes as a literal.
func (d Dialect) Binary(dst, b []byte) []byte {
	if d == Postgres {
		return hexed(append(dst, `E'\\x`...), b, "'")
	}
	return hexed(append(dst, "X'"...), b, "'")
}

const digits = "0123456789abcdef"

func hexed(dst, b []byte, end string) []byte {
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return append(dst, end...)
}
