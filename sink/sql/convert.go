package sql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/internal/sqldb"
)

// A cell is a value in the form that its column takes.
type cell struct {
	form form
	text []byte
}

type form byte

const (
	null   form = iota
	plain       // digits and words that stand in SQL as they are
	quoted      // a text
	bare        // bytes
)

// convert makes a value what a column takes. The error is the row's. The cell's bytes are the value's or s.scratch's.
func convert(v value, c *sqldb.Column, d sqldb.Dialect, s *scope) (cell, error) {
	if v.kind == nothing {
		return cell{}, nil
	}
	from := len(s.scratch)
	switch c.Class {
	case sqldb.Integer:
		return integer(v, c, d, s)
	case sqldb.Number:
		return fraction(v, c, s)
	case sqldb.Boolean:
		return boolean(v, c)
	case sqldb.Binary:
		if v.kind == text {
			return cell{bare, v.text}, nil
		}
		s.scratch = v.append(s.scratch)
		return cell{bare, s.scratch[from:]}, nil
	case sqldb.Timestamp, sqldb.Instant, sqldb.Date:
		if t, ok := v.time(); ok {
			if t.Year() < 0 || t.Year() > 9999 {
				return cell{}, wrong(v, c, "is beyond the years that a date has")
			}
			s.scratch = appendTime(s.scratch, t, c.Class, d)
			return cell{quoted, s.scratch[from:]}, nil
		}
		if v.kind != text {
			return cell{}, wrong(v, c, "is no time: it takes milliseconds since 1970, or a text")
		}
	case sqldb.JSON:
		if v.raw != nil {
			return valid(cell{quoted, v.raw}, v, c, d)
		}
	case sqldb.Array:
		if v.kind == document && v.raw[0] == '[' {
			var err error
			if s.scratch, err = appendArray(s.scratch, v.raw); err != nil {
				return cell{}, wrong(v, c, err.Error())
			}
			return valid(cell{quoted, s.scratch[from:]}, v, c, d)
		}
	case sqldb.Text, sqldb.Other:
	}
	if v.kind == moment {
		s.scratch = v.append(s.scratch)
		return cell{quoted, s.scratch[from:]}, nil
	}
	return valid(cell{quoted, v.text}, v, c, d)
}

// wrong is the error of a value that its column cannot take.
func wrong(v value, c *sqldb.Column, why string) error {
	return fmt.Errorf("column %s (%s): %s %s", c.Name, c.Type, v, why)
}

// String shows a value in a message, a long one not whole.
func (v value) String() string {
	shown := v.append(nil)
	const most = 60
	cut := ""
	if len(shown) > most {
		shown, cut = shown[:most], "…"
	}
	if v.kind == text {
		return fmt.Sprintf("%q%s", shown, cut)
	}
	return string(shown) + cut
}

// append appends a value as text.
func (v value) append(dst []byte) []byte {
	if v.kind == moment {
		return time.UnixMilli(v.ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return append(dst, v.text...)
}

// valid refuses texts that no column of characters can have; the databases' own messages for it do not say where.
func valid(c cell, v value, col *sqldb.Column, d sqldb.Dialect) (cell, error) {
	if !utf8.Valid(c.text) {
		return cell{}, wrong(v, col, "is not UTF-8")
	}
	if d == sqldb.Postgres && bytes.IndexByte(c.text, 0) >= 0 {
		return cell{}, wrong(v, col, "has a NUL character, which PostgreSQL has not in texts")
	}
	return c, nil
}

func integer(v value, c *sqldb.Column, d sqldb.Dialect, s *scope) (cell, error) {
	from := len(s.scratch)
	t := bytes.TrimSpace(v.text)
	switch {
	case v.kind == moment:
		s.scratch = strconv.AppendInt(s.scratch, v.ms, 10)
		return cell{plain, s.scratch[from:]}, nil
	case v.kind == truth && d != sqldb.Postgres:
		if v.text[0] == 't' {
			return cell{plain, []byte("1")}, nil
		}
		return cell{plain, []byte("0")}, nil
	case whole(t):
		return cell{plain, bytes.TrimPrefix(t, []byte("+"))}, nil
	case v.kind == number: // 3.0, 1e3
		f, err := strconv.ParseFloat(string(t), 64)
		if err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			s.scratch = strconv.AppendInt(s.scratch, int64(f), 10)
			return cell{plain, s.scratch[from:]}, nil
		}
	}
	return cell{}, wrong(v, c, "is no whole number")
}

// whole reports whether s is digits, with or without a sign.
func whole(s []byte) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

func fraction(v value, c *sqldb.Column, s *scope) (cell, error) {
	from := len(s.scratch)
	t := bytes.TrimSpace(v.text)
	switch {
	case v.kind == moment:
		s.scratch = strconv.AppendInt(s.scratch, v.ms, 10)
		return cell{plain, s.scratch[from:]}, nil
	case v.kind != truth && (isNumber(t) || whole(t)):
		return cell{plain, bytes.TrimPrefix(t, []byte("+"))}, nil
	case v.kind == text:
		switch string(t) {
		case "NaN", "Infinity", "-Infinity":
			return cell{quoted, t}, nil // of which PostgreSQL knows, and the others say that they do not
		}
	}
	return cell{}, wrong(v, c, "is no number")
}

func boolean(v value, c *sqldb.Column) (cell, error) {
	switch string(bytes.ToLower(bytes.TrimSpace(v.text))) {
	case "true", "t", "1", "yes", "y", "on":
		return cell{plain, []byte("true")}, nil
	case "false", "f", "0", "no", "n", "off":
		return cell{plain, []byte("false")}, nil
	}
	return cell{}, wrong(v, c, "is neither true nor false")
}

// time is the moment that a value names: milliseconds since 1970, or a text in one of the usual forms with a zone. Other
// texts are the database's to read.
func (v value) time() (time.Time, bool) {
	switch v.kind {
	case moment:
		return time.UnixMilli(v.ms).UTC(), true
	case number:
		if ms, err := strconv.ParseInt(string(v.text), 10, 64); err == nil {
			return time.UnixMilli(ms).UTC(), true
		}
		ms, err := strconv.ParseFloat(string(v.text), 64)
		if err != nil || math.Abs(ms) > math.MaxInt64/2000 {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(math.Round(ms * 1000))).UTC(), true
	case text:
		if len(v.text) < len("2006-01-02T15:04:05Z") || len(v.text) > 40 {
			return time.Time{}, false
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700"} {
			if t, err := time.Parse(layout, string(v.text)); err == nil {
				return t.UTC(), true
			}
		}
	case nothing, truth, document:
	}
	return time.Time{}, false
}

// appendTime writes a moment for a column, in UTC and with microseconds where it has them.
func appendTime(dst []byte, t time.Time, c sqldb.Class, d sqldb.Dialect) []byte {
	layout := "2006-01-02 15:04:05.999999"
	switch {
	case c == sqldb.Date:
		layout = "2006-01-02"
	case c == sqldb.Instant:
		layout += "Z"
	case d == sqldb.SQLite:
		layout = "2006-01-02 15:04:05.000" // as its own functions do, so that texts sort as times
	}
	return t.AppendFormat(dst, layout)
}

// appendArray writes a JSON list as PostgreSQL writes an array.
func appendArray(dst, raw []byte) ([]byte, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return dst, errors.New("is no JSON list")
	}
	dst = append(dst, '{')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		item = bytes.TrimSpace(item)
		inner := []byte(item)
		switch {
		case item[0] == '[':
			var err error
			if dst, err = appendArray(dst, item); err != nil {
				return dst, err
			}
			continue
		case string(item) == "null":
			dst = append(dst, "NULL"...)
			continue
		case item[0] == '"':
			var s string
			if err := json.Unmarshal(item, &s); err != nil {
				return dst, errors.New("is no JSON list")
			}
			inner = []byte(s)
		}
		dst = append(dst, '"')
		for _, c := range inner {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}'), nil
}
