package sql

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/sqldb"
)

func TestExpressions(t *testing.T) {
	body := `{"a": {"b c": [1, "two"]}, "text": "x?? y", "no": null, "f": 1.50, "t": true, "o": {"k": "v"}, "u": "\u00e4"}`
	h := flume.Headers{{Key: "host", Value: "h1"}, {Key: "timestamp", Value: "1700000000123"}, {Key: "a.b", Value: "dotted"}}
	s := scope{now: time.UnixMilli(1800000000000)}
	for text, want := range map[string]string{
		"$.a['b c'][1]":          `"two"`,
		"$.a['b c'][0]":          "1",
		"$.f":                    "1.50",
		"$.t":                    "true",
		"$.o":                    `{"k": "v"}`,
		"$.u":                    `"ä"`,
		"$.no":                   "NULL",
		"$.missing":              "NULL",
		"$.missing ?? $.no ?? 7": "7",
		"$.no ?? '??' ?? 'x'":    `"??"`,
		"$['text'] ?? 'x'":       `"x?? y"`,
		"%{host}":                `"h1"`,
		"%{a.b}":                 `"dotted"`,
		"%{none} ?? 'it''s'":     `"it's"`,
		"%{host}-%{none}":        `"h1-"`,
		"%Y%m":                   `"202311"`,
		"time":                   "2023-11-14T22:13:20.123Z",
		"now":                    "2027-01-15T08:00:00.000Z",
		"null":                   "NULL",
		"-1.5e3":                 "-1.5e3",
		"''":                     `""`,
		"body":                   `"{\"a\": {\"b c\": [1, \"two\"]}, \"text\": \"x?? y\", \"no\": null, \"f\":"…`,
	} {
		e, err := parseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s.scratch = s.scratch[:0]
		v, err := e.of(&flume.Event{Headers: h, Body: []byte(body)}, &s)
		got := v.String()
		if v.kind == nothing {
			got = "NULL"
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestConversions(t *testing.T) {
	for _, x := range []struct {
		json  string
		class sqldb.Class
		d     sqldb.Dialect
		want  string // as the text of COPY, or the error
	}{
		{`5`, sqldb.Integer, sqldb.Postgres, "5"},
		{`"-5"`, sqldb.Integer, sqldb.Postgres, "-5"},
		{`5.0`, sqldb.Integer, sqldb.Postgres, "5"},
		{`1e3`, sqldb.Integer, sqldb.Postgres, "1000"},
		{`5.5`, sqldb.Integer, sqldb.Postgres, "is no whole number"},
		{`"5; DROP"`, sqldb.Integer, sqldb.Postgres, "is no whole number"},
		{`true`, sqldb.Integer, sqldb.Postgres, "is no whole number"},
		{`true`, sqldb.Integer, sqldb.MySQL, "1"},
		{`{}`, sqldb.Integer, sqldb.MySQL, "is no whole number"},
		{`"1.50"`, sqldb.Number, sqldb.MySQL, "1.50"},
		{`"NaN"`, sqldb.Number, sqldb.Postgres, "NaN"},
		{`"1.5x"`, sqldb.Number, sqldb.Postgres, "is no number"},
		{`"Yes"`, sqldb.Boolean, sqldb.Postgres, "true"},
		{`0`, sqldb.Boolean, sqldb.Postgres, "false"},
		{`"maybe"`, sqldb.Boolean, sqldb.Postgres, "neither true nor false"},
		{`"a\tb\\c\nd"`, sqldb.Text, sqldb.Postgres, `a\tb\\c\nd`},
		{`[1, 2]`, sqldb.Text, sqldb.Postgres, "[1, 2]"},
		{`"a\u0000b"`, sqldb.Text, sqldb.Postgres, "has a NUL character"},
		{`"a\u0000b"`, sqldb.Text, sqldb.MySQL, "a\x00b"},
		{`"äb"`, sqldb.Binary, sqldb.Postgres, `\\xc3a462`},
		{`1700000000123`, sqldb.Instant, sqldb.Postgres, "2023-11-14 22:13:20.123Z"},
		{`1700000000123`, sqldb.Timestamp, sqldb.SQLite, "2023-11-14 22:13:20.123"},
		{`"2026-11-21T10:00:00+01:00"`, sqldb.Timestamp, sqldb.MySQL, "2026-11-21 09:00:00"},
		{`"2026-11-21 10:00:00.5Z"`, sqldb.Date, sqldb.MySQL, "2026-11-21"},
		{`"yesterday"`, sqldb.Timestamp, sqldb.Postgres, "yesterday"},
		{`true`, sqldb.Timestamp, sqldb.Postgres, "is no time"},
		{`9e18`, sqldb.Timestamp, sqldb.Postgres, "is no time"},
		{`9000000000000000`, sqldb.Timestamp, sqldb.Postgres, "beyond the years"},
		{`"x"`, sqldb.JSON, sqldb.Postgres, `"x"`},
		{`{"a": [1]}`, sqldb.JSON, sqldb.MySQL, `{"a": [1]}`},
		{`["a\"b", null, [1.5, "c,d"]]`, sqldb.Array, sqldb.Postgres, `{"a\\"b",NULL,{"1.5","c,d"}}`},
		{`"{1,2}"`, sqldb.Array, sqldb.Postgres, "{1,2}"},
		{`"any"`, sqldb.Other, sqldb.Postgres, "any"},
	} {
		e, err := parseExpression("$")
		if err != nil {
			t.Fatal(err)
		}
		var s scope
		v, err := e.of(&flume.Event{Body: []byte(x.json)}, &s)
		if err != nil {
			t.Fatal(x.json, err)
		}
		c, err := convert(v, &sqldb.Column{Name: "c", Type: "T", Class: x.class}, x.d, &s)
		got := string(appendCopied(nil, c, true))
		if err != nil {
			got = err.Error()
			if !strings.HasPrefix(got, "column c (T): ") || !strings.Contains(got, x.want) {
				t.Errorf("%s as %d: %s, want %s", x.json, x.class, got, x.want)
			}
			continue
		}
		if got != x.want {
			t.Errorf("%s as %d: %s, want %s", x.json, x.class, got, x.want)
		}
	}
}

// Whatever a body is, a row of it has as many cells as the table has columns, and ends where it ends.
func FuzzRow(f *testing.F) {
	for _, s := range []string{`{"a": "x", "b": [1, null]}`, `{"a": "\t\n\\.\u0000"}`, `{"a": 1e5, "b": {"c": "'"}}`, `no JSON`, ``, `[[[`, `{"a": nul}`, `{"a": "\ud800"}`} {
		f.Add([]byte(s), "head'er\\")
	}
	a, _ := parseExpression("$.a ?? %{h}")
	b, _ := parseExpression("$.b ?? body")
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		e := flume.Event{Headers: flume.Headers{{Key: "h", Value: header}}, Body: body}
		for class := sqldb.Other; class <= sqldb.Array; class++ {
			var s scope
			var row []byte
			for i, x := range []expression{a, b} {
				v, err := x.of(&e, &s)
				if err != nil {
					return
				}
				c, err := convert(v, &sqldb.Column{Name: "c", Class: class}, sqldb.Postgres, &s)
				if err != nil {
					return
				}
				if c.form == plain && strings.ContainsAny(string(c.text), " '\"\\;,()\t\n") {
					t.Fatalf("%q stands in SQL as it is", c.text)
				}
				if class == sqldb.JSON && v.raw != nil && !json.Valid(c.text) && v.kind != text {
					t.Fatalf("%q is no JSON", c.text)
				}
				row = appendCopied(row, c, i == 0)
			}
			if n := strings.Count(string(row), "\t"); n != 1 || strings.ContainsAny(string(row), "\n\r") {
				t.Fatalf("%q has %d tabs", row, n)
			}
		}
	})
}
