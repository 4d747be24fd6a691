package syslog

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/javatime"
)

// Format is a form of message that the user describes.
type Format struct {
	Regex       *javaregex.Pattern
	Search      *javaregex.Pattern
	Replace     string
	DateFormat  string
	replacement *javaregex.Replacement
	layout      *javatime.Layout
}

// Declare declares the settings format.regex, format.search, format.replace and format.dateFormat.
func (f *Format) Declare(d *conf.Decl) {
	javaregex.Setting(d, &f.Regex, "format.regex", "", "A form of message that is tried before the usual ones: a regular expression of Java that matches the whole message, with the groups priority, version, timestamp, host and body in this order.")
	javaregex.Setting(d, &f.Search, "format.search", "", "A regular expression of Java; what it matches in the timestamp of such a message is replaced.")
	d.String(&f.Replace, "format.replace", "", "What stands in its place; $1 is a group.")
	d.String(&f.DateFormat, "format.dateFormat", "", "How the timestamp is written then, in the letters of Java's SimpleDateFormat. Without it such messages have no timestamp.")
	d.Check(f.check)
}

const formatGroups = 5

func (f *Format) check() error {
	var problems []error
	if f.Regex == nil {
		if f.Search != nil || f.Replace != "" || f.DateFormat != "" {
			return conf.Warn("format.regex", errors.New("is not set, so that format.search, format.replace and format.dateFormat have no effect"))
		}
		return nil
	}
	if n := f.Regex.Groups(); n < formatGroups {
		problems = append(problems, conf.Warn("format.regex", fmt.Errorf("has %d groups instead of 5: priority, version, timestamp, host, body; what is missing stays empty", n)))
	}
	if f.Search != nil {
		var err error
		if f.replacement, err = f.Search.Replacement(f.Replace); err != nil {
			problems = append(problems, conf.At("format.replace", err))
		}
	}
	if f.DateFormat != "" {
		var err error
		if f.layout, err = javatime.Java(f.DateFormat, time.Local, time.Now()); err != nil {
			problems = append(problems, conf.At("format.dateFormat", err))
		}
	}
	return errors.Join(problems...)
}

// A matcher reads messages in a Format. It belongs to one goroutine.
type matcher struct {
	format        *Format
	regex, search *javaregex.Matcher
}

func (f *Format) matcher() *matcher {
	m := &matcher{format: f, regex: f.Regex.Matcher()}
	if f.Search != nil {
		m.search = f.Search.Matcher()
	}
	return m
}

// read matches a message; ok: it fits. What it returns is good until the next call.
func (m *matcher) read(p []byte) (f fields, ok bool, err error) {
	m.regex.Reset(p)
	if ok, err = m.regex.Matches(); err != nil {
		return f, false, fmt.Errorf("%w: %w", errFormat, err)
	}
	if !ok {
		return f, false, nil
	}
	for i, to := range []*[]byte{&f.priority, &f.version, &f.timestamp, &f.host, &f.body} {
		if i < m.format.Regex.Groups() {
			*to, _ = m.regex.Group(i + 1)
		}
	}
	if f.timestamp == nil || m.format.layout == nil {
		return f, true, nil
	}
	stamp := f.timestamp
	if m.search != nil {
		m.search.Reset(stamp)
		const most = 4 << 10
		replaced, found, err := m.search.ReplaceAll(nil, m.format.replacement, most)
		if err != nil {
			return f, true, nil
		}
		if found {
			stamp = replaced
		}
	}
	if t, err := m.format.layout.Millis(stamp); err == nil {
		f.millis, f.timed = t, true
	}
	return f, true, nil
}
