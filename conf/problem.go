package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pos is a place in a configuration file. Line counts from 1; zero means that no one line can be named.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Severity says what becomes of a component that has a problem.
type Severity int

const (
	// Warning: Flume ignores it, so the component runs and Sluice says so.
	Warning Severity = iota
	// Fatal: the component is not opened; the rest of the agent runs.
	Fatal
	// Note: nothing is wrong, and there is a better way.
	Note
)

func (s Severity) String() string {
	switch s {
	case Fatal:
		return "error"
	case Note:
		return "note"
	default:
		return "warning"
	}
}

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	Pos      Pos
	Agent    string // the agent that it is about; empty: the file
	Subject  string // the full key or component, such as a1.sinks.k1.hdfs.path; may be empty
	Text     string // what is wrong and what to do; never a secret value
	Severity Severity
}

func (p Problem) String() string {
	parts := make([]string, 0, 4)
	if at := p.Pos.String(); at != "" {
		parts = append(parts, at)
	}
	if p.Subject != "" {
		parts = append(parts, printable(p.Subject, longestSubject))
	}
	if p.Severity == Note {
		parts = append(parts, "note")
	}
	return strings.Join(append(parts, printable(p.Text, longestText)), ": ")
}

// What a message shows at most, in bytes: a file that is no configuration has keys of any length.
const (
	longestSubject = 200
	longestText    = 2000
)

// printable is text on one line, cut after most bytes.
func printable(text string, most int) string {
	plain := len(text) <= most && utf8.ValidString(text)
	if plain && !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return text
	}
	var b strings.Builder
	for i, c := range text {
		if i >= most {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(c) {
			b.WriteRune(c)
			continue
		}
		quoted := strconv.QuoteRune(c)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// QuoteNames lists names that a file has, a few of many.
func QuoteNames(names []string) string {
	const most, longest = 10, 60
	shown := make([]string, 0, most)
	for _, name := range names[:min(most, len(names))] {
		shown = append(shown, shorten(name, longest))
	}
	out := strings.Join(shown, ", ")
	if more := len(names) - most; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// Problems are all that is wrong, found in one pass.
type Problems []Problem

// Fatal reports whether one of them keeps a component from running.
func (ps Problems) Fatal() bool {
	for _, p := range ps {
		if p.Severity == Fatal {
			return true
		}
	}
	return false
}

// Wrong is how many of them say that something is wrong, as notes do not.
func (ps Problems) Wrong() int {
	n := 0
	for _, p := range ps {
		if p.Severity != Note {
			n++
		}
	}
	return n
}

// Sort orders by file and line, so that a reader can go through the file once, and drops what is said twice.
func (ps *Problems) Sort() {
	slices.SortStableFunc(*ps, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line))
	})
	seen := make(map[Problem]bool, len(*ps))
	*ps = slices.DeleteFunc(*ps, func(p Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// Of returns the problems of one agent and those of no agent: what concerns whoever runs it.
func (ps Problems) Of(agent string) Problems {
	var out Problems
	for _, p := range ps {
		if p.Agent == "" || p.Agent == agent {
			out = append(out, p)
		}
	}
	return out
}

func (ps Problems) String() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}
