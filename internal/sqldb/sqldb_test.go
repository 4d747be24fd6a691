package sqldb

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(t testing.TB, lines ...string) *Settings {
	t.Helper()
	var s Settings
	if _, problems := conf.Bind(&s, flumetest.Section(t, lines...)); problems.Fatal() {
		t.Fatal(problems)
	}
	return &s
}

func TestAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:secret@h/d?sslmode=disable": "PostgreSQL postgres://h/d postgresql://h:5432/d",
		"postgresql://h:6000/d":                   "PostgreSQL postgresql://h:6000/d postgresql://h:6000/d",
		"mysql://u:secret@h/d":                    "MySQL mysql://h/d mysql://h:3306/d",
		"mariadb://h:1/d":                         "MySQL mariadb://h:1/d mysql://h:1/d",
		"sqlite:/a/b.db?_pragma=x":                "SQLite sqlite:/a/b.db sqlite:///a/b.db",
		"sqlite:///a/b.db":                        "SQLite sqlite:/a/b.db sqlite:///a/b.db",
		"sqlite:b.db":                             "SQLite sqlite:b.db sqlite://b.db",
	} {
		s := settings(t, "url = "+url)
		if got := fmt.Sprint(s.Dialect(), " ", s.Shown(), " ", s.Endpoint()); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

func TestAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		lines []string
		want  string
	}{
		{[]string{"url = mysql://u:p@h/d"}, "u p"},
		{[]string{"url = mysql://h/d", "user = v", "password = q"}, "v q"},
		{[]string{"url = mysql://u@h/d", "user = v", "passwordFile = " + file}, "u from file"},
	} {
		user, password, err := settings(t, x.lines...).account()
		if got := user + " " + password; err != nil || got != x.want {
			t.Errorf("%q: %q, %v", x.lines, got, err)
		}
	}
	if _, err := settings(t, "url = mysql://h/d", "passwordFile = "+file+"x").Connect(t.Context(), Purpose{}); err == nil || !strings.Contains(err.Error(), "reading the password") {
		t.Error(err)
	}
}

// Nobody listens: the error says where, and not the password.
func TestNoSecretInErrors(t *testing.T) {
	for _, url := range []string{"postgres://u:sesame@127.0.0.1:1/d?sslmode=disable", "mysql://u:sesame@127.0.0.1:1/d", "postgres://u:sesame@127.0.0.1:1/d?sslmode=sesame"} {
		_, err := settings(t, "url = "+url).Connect(t.Context(), Purpose{Name: "test"})
		if err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "127.0.0.1:1/d") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := settings(t, "url = sqlite:"+filepath.Join(t.TempDir(), "none")).Connect(t.Context(), Purpose{}); err == nil {
		t.Error("a file that is not there is made")
	}
}

func TestFaults(t *testing.T) {
	pg := func(code string) error { return &pgconn.PgError{Code: code} }
	my := func(number uint16, state string) error {
		e := &mysql.MySQLError{Number: number}
		copy(e.SQLState[:], state)
		return e
	}
	for _, x := range []struct {
		err  error
		want Fault
	}{
		{pg("22001"), Row}, {pg("22P02"), Row}, {pg("23505"), Row}, {pg("23503"), Row}, {pg("P0001"), Row}, {pg("54000"), Row}, {pg("21000"), Row},
		{pg("40001"), Again}, {pg("40P01"), Again}, {pg("55P03"), Again},
		{pg("42P01"), Broken}, {pg("42703"), Broken}, {pg("42501"), Broken}, {pg("53100"), Broken}, {pg("57P01"), Broken}, {pg("08006"), Broken}, {pg("25006"), Broken}, {pg("XX000"), Broken}, {pg(""), Broken},
		{&pgconn.PgError{Code: "42501", Routine: "ExecWithCheckOptions"}, Row},
		{my(1062, "23000"), Row}, {my(1406, "22001"), Row}, {my(1452, "23000"), Row}, {my(1366, "22007"), Row}, {my(4025, "23000"), Row}, {my(1644, "45000"), Row}, {my(1048, ""), Row},
		{my(1213, "40001"), Again}, {my(1205, "HY000"), Again},
		{my(1146, "42S02"), Broken}, {my(1054, "42S22"), Broken}, {my(1364, "HY000"), Broken}, {my(1290, "HY000"), Broken}, {my(1114, "HY000"), Broken}, {my(1142, "42000"), Broken},
		{mysql.ErrPktTooLarge, Row}, {mysql.ErrInvalidConn, Broken}, {errors.New("EOF"), Broken},
	} {
		if got := FaultOf(fmt.Errorf("writing: %w", x.err)); got != x.want {
			t.Errorf("%v: %d, want %d", x.err, got, x.want)
		}
	}
}

func TestRowOf(t *testing.T) {
	for where, want := range map[string]int{
		`COPY t, line 3, column age: "abc"`:      2,
		`COPY t2, line 17`:                       16,
		`COPY t, Zeile 4, Spalte n: "7, line 9"`: 3,
		`SQL statement "INSERT", line 3`:         -1,
		``:                                       -1,
	} {
		n, ok := RowOf(&pgconn.PgError{Where: where})
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d, want %d", where, n, want)
		}
	}
	if n, ok := RowOf(&mysql.MySQLError{Message: "Data too long for column 'name' at row 12"}); !ok || n != 11 {
		t.Error(n, ok)
	}
}

// unwritten reads a literal back, as the server would with the settings that it may have.
func unwritten(d Dialect, literal string) (string, error) {
	inner := func(prefix, end string) (string, bool) {
		rest, ok := strings.CutPrefix(literal, prefix)
		rest, fine := strings.CutSuffix(rest, end)
		return rest, ok && fine
	}
	if text, ok := inner("'", "'"); ok {
		if strings.Contains(text, `\`) && d != SQLite || strings.Contains(strings.ReplaceAll(text, "''", ""), "'") {
			return "", errors.New("what stands between the quotes depends on settings, or ends early")
		}
		return strings.ReplaceAll(text, "''", "'"), nil
	}
	switch d {
	case Postgres:
		text, ok := inner("E'", "'")
		if !ok {
			return "", errors.New("is no literal")
		}
		var out []byte
		for i := 0; i < len(text); i++ {
			c := text[i]
			switch {
			case c == '\'' || c == '\\':
				if i++; i == len(text) || text[i] != c && !strings.HasPrefix(text[i:], "000") {
					return "", errors.New("a quote or a backslash stands alone")
				}
				if text[i] != c {
					i, c = i+2, 0
				}
			}
			out = append(out, c)
		}
		return string(out), nil
	case MySQL:
		text, _ := inner("_utf8mb4 X'", "'")
		b, err := hex.DecodeString(text)
		return string(b), err
	default:
		text, _ := inner("CAST(X'", "' AS TEXT)")
		b, err := hex.DecodeString(text)
		return string(b), err
	}
}

func FuzzLiterals(f *testing.F) {
	for _, s := range []string{"", "a", "'", "''", `\`, `\'`, `'; DROP TABLE t; --`, "\x00", "a\x00'\\", "\xff\xbf\\'", "`\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range []Dialect{Postgres, MySQL, SQLite} {
			literal := string(d.Text(nil, []byte(s)))
			if got, err := unwritten(d, literal); err != nil || got != s {
				t.Errorf("%s: %q is written %s, which is %q: %v", d, s, literal, got, err)
			}
			quoted := string(d.Ident(nil, s))
			q := quoted[:1]
			if inner := quoted[1 : len(quoted)-1]; strings.ReplaceAll(inner, q+q, q) != s || strings.Contains(strings.ReplaceAll(inner, q+q, ""), q) {
				t.Errorf("%s: the name %q is written %s", d, s, quoted)
			}
		}
	})
}

// SQLite itself reads what is written for it.
func TestSQLiteReadsLiterals(t *testing.T) {
	c, err := settings(t, "url = sqlite:"+filepath.Join(t.TempDir(), "db")).Connect(t.Context(), Purpose{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range []string{"", "a", "'", `\'`, "'; DROP TABLE t; --", "a\x00b", "ä"} {
		got := ""
		err := c.Query(t.Context(), "SELECT "+string(SQLite.Text(nil, []byte(s)))+", "+string(SQLite.Binary(nil, []byte(s))), func(cells []Cell) error {
			got = cells[0].Text + cells[1].Text
			return nil
		})
		if err != nil || got != s+s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func TestClasses(t *testing.T) {
	for name, want := range map[string]Class{"INTEGER": Integer, "BIGINT": Integer, "BOOLEAN": Integer, "VARCHAR(10)": Text, "DATETIME": Timestamp, "DATE": Date,
		"BLOB": Binary, "REAL": Number, "DECIMAL(10,2)": Number, "JSON": JSON, "": Other, "ANY": Other} {
		if got := sqliteClass(name); got != want {
			t.Errorf("SQLite's %s: %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]Class{"int": Integer, "decimal": Number, "varchar": Text, "blob": Binary, "datetime": Timestamp, "json": JSON, "enum": Other} {
		if got := mysqlClass(name); got != want {
			t.Errorf("MySQL's %s: %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]Class{"int8": Integer, "numeric": Number, "varchar": Text, "bytea": Binary, "timestamptz": Instant, "jsonb": JSON, "_int4": Array, "uuid": Other} {
		category := map[string]string{"varchar": "S", "_int4": "A"}[name]
		if got := postgresClass(name, category); got != want {
			t.Errorf("PostgreSQL's %s: %d, want %d", name, got, want)
		}
	}
}
