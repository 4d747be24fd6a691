package deadletter

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
)

// A Filter chooses letters: those that fulfil all of its conditions, in text:
//
//	component=a1.sinks.k1    reason~too (long|large)    header.topic!=test3    time>=2026-11-21T10:00    attempt>1
//
// A field is id, agent, component, reason, position, body, header.NAME, time or attempt. = and != compare the whole value, ~
// and !~ look for a regular expression in it; time and attempt also have < <= > >=. A header that is not there is empty.
type Filter struct{ conditions []condition }

type condition struct {
	field string
	name  string // of a header
	op    string
	text  string
	re    *regexp.Regexp
	time  time.Time
	n     int
}

// Fields are those that a condition can be about.
func fields() []string {
	return []string{"id", "agent", "component", "reason", "position", "body", "time", "attempt", "header.NAME"}
}

// operators: those that begin as another does come first.
func operators() []string { return []string{"!=", "!~", "<=", ">=", "=", "~", "<", ">"} }

// ParseFilter reads conditions. Times without a zone are local.
func ParseFilter(conditions []string) (*Filter, error) {
	f := &Filter{}
	for _, text := range conditions {
		c, err := parseCondition(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		f.conditions = append(f.conditions, c)
	}
	return f, nil
}

func parseCondition(text string) (condition, error) {
	at := strings.IndexAny(text, "=!~<>")
	if at < 0 {
		return condition{}, errors.New("is no condition, such as component=a1.sinks.k1, reason~large or header.topic=t1")
	}
	c := condition{field: strings.TrimSpace(text[:at])}
	for _, op := range operators() {
		if rest, ok := strings.CutPrefix(text[at:], op); ok {
			c.op, c.text = op, strings.TrimSpace(rest)
			break
		}
	}
	if c.op == "" {
		return condition{}, fmt.Errorf("has no operator; there are %s", strings.Join(operators(), " "))
	}
	if name, ok := strings.CutPrefix(c.field, "header."); ok && name != "" {
		c.field, c.name = "header", name
	} else if !slices.Contains(fields(), c.field) {
		hint := ""
		if near := conf.Nearest(c.field, fields()); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return condition{}, fmt.Errorf("letters have no field %q but %s%s", c.field, strings.Join(fields(), ", "), hint)
	}
	return c, c.complete()
}

func (c *condition) complete() error {
	var err error
	ordered := c.field == "time" || c.field == "attempt"
	switch {
	case strings.ContainsAny(c.op, "<>") && !ordered:
		return fmt.Errorf("%s has no order; there are = != ~ !~", c.field)
	case strings.HasSuffix(c.op, "~"):
		if c.re, err = regexp.Compile(c.text); err != nil {
			return fmt.Errorf("reading the regular expression: %w", err)
		}
	case c.field == "attempt":
		if c.n, err = strconv.Atoi(c.text); err != nil {
			return errors.New("attempt is compared with a number")
		}
	case c.field == "time":
		if c.time, err = parseTime(c.text); err != nil {
			return err
		}
	}
	return nil
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time, such as 2026-11-21T10:51 or 2026-11-21T10:51:00Z", text)
}

// Match reports whether the letter is chosen.
func (f *Filter) Match(l *Letter) bool {
	for i := range f.conditions {
		if !f.conditions[i].match(l) {
			return false
		}
	}
	return true
}

func (c *condition) match(l *Letter) bool {
	switch {
	case c.re != nil && c.field == "body":
		return c.re.Match(l.Body) == (c.op == "~")
	case c.re != nil:
		return c.re.MatchString(c.of(l)) == (c.op == "~")
	case c.field == "time":
		return holds(c.op, l.Time.Compare(c.time))
	case c.field == "attempt":
		return holds(c.op, l.Attempt-c.n)
	}
	return (c.of(l) == c.text) == (c.op == "=")
}

func (c *condition) of(l *Letter) string {
	switch c.field {
	case "id":
		return l.ID
	case "agent":
		return l.Agent
	case "component":
		return l.Component
	case "reason":
		return l.Reason
	case "position":
		return l.Position
	case "body":
		return string(l.Body)
	case "header":
		v, _ := l.Headers.Get(c.name)
		return v
	case "time":
		return l.Time.Format(time.RFC3339Nano)
	case "attempt":
		return strconv.Itoa(l.Attempt)
	}
	panic("BUG: a condition on the field " + c.field)
}

// holds reports whether op holds where comparing gave n.
func holds(op string, n int) bool {
	switch op {
	case "=":
		return n == 0
	case "!=":
		return n != 0
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	}
	return n >= 0
}
