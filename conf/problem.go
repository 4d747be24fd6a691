package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
)

func (s Severity) String() string {
	if s == Fatal {
		return "error"
	}
	return "warning"
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
	parts := make([]string, 0, 3)
	if at := p.Pos.String(); at != "" {
		parts = append(parts, at)
	}
	if p.Subject != "" {
		parts = append(parts, p.Subject)
	}
	return strings.Join(append(parts, p.Text), ": ")
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

// secretName reports whether the value under a name must not be shown.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "jaas", "apikey", "api.key", "api-key", "api_key", "accesskey", "access.key", "private"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
