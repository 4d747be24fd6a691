package conf

import (
	"slices"
	"strings"
)

// A Value is one setting as the file has it: trimmed, substituted, with its place.
type Value struct {
	Key  string // relative to the section that holds it
	Text string
	Pos  Pos
	// Fault says why there is no value, such as an environment variable that is not set; Text is then of no use and the
	// component must not be opened. Read and Bind report it.
	Fault string
	// Secret values are not shown: the key says so, or a config filter gave them.
	Secret bool
}

// Values are settings in file order. A key stands once: the file's last one.
type Values []Value

// Get finds the value of key.
func (vs Values) Get(key string) (Value, bool) {
	for _, v := range vs {
		if v.Key == key {
			return v, true
		}
	}
	return Value{}, false
}

// Lookup finds a value that stands outside of the files: a system property (-Dname=value) or an environment variable.
type Lookup func(name string) (string, bool)

func (l Lookup) find(name string) (string, bool) {
	if l == nil || name == "" {
		return "", false
	}
	return l(name)
}

// A Section holds the settings of one component: all keys below a1.sinks.k1., say, or below the
// a1.sources.r1.interceptors.i1. of an interceptor.
//
// What is read from a section is claimed; what nobody claims is not a setting and is reported by Bind.
type Section struct {
	Agent    string // a1
	Group    string // channels, sources, sinks, sinkgroups, configfilters
	Name     string // k1; an interceptor's own name in its section
	Pos      Pos    // of the line that lists the component, else of its first setting
	Values   Values
	Property Lookup // -D; nil finds nothing
	Env      Lookup // the environment; nil finds nothing

	// Targets are the names that the settings may refer to: of a selector its source's channels, of a sink processor
	// the sinks of its group; nil for everything else.
	Targets []string

	path    string // a1.sinks.k1.
	claimed map[string]bool
	empty   Values // keys without a value: as if they were not set
	fatal   bool
}

// NewSection returns the section whose keys stand in the file below path, which ends with a dot.
func NewSection(agent, group, name, path string, pos Pos, values Values) *Section {
	return &Section{Agent: agent, Group: group, Name: name, Pos: pos, Values: values, path: path, claimed: map[string]bool{}}
}

// Fresh returns the same section as one of which nothing is claimed.
func (s *Section) Fresh() *Section {
	fresh := *s
	fresh.claimed = map[string]bool{}
	return &fresh
}

// Path is the full key as the file has it: a1.sinks.k1.hdfs.path. Path("") is the component: a1.sinks.k1.
func (s *Section) Path(key string) string {
	return strings.TrimSuffix(s.path+key, ".")
}

// Get claims and returns the value of key.
func (s *Section) Get(key string) (Value, bool) {
	v, ok := s.Values.Get(key)
	if ok {
		s.claimed[key] = true
	}
	return v, ok
}

// Sub claims every key that starts with prefix (which ends with a dot) and returns them as a section of that name.
func (s *Section) Sub(prefix, name string) *Section {
	sub := NewSection(s.Agent, s.Group, name, s.path+prefix, s.Pos, s.claim(s.Values, prefix))
	sub.Property, sub.Env = s.Property, s.Env
	sub.empty = s.claim(s.empty, prefix)
	if len(sub.Values) > 0 {
		sub.Pos = sub.Values[0].Pos
	}
	return sub
}

// claim takes every value of values whose key starts with prefix; the keys returned are without it.
func (s *Section) claim(values Values, prefix string) Values {
	var out Values
	for _, v := range values {
		if rest, ok := strings.CutPrefix(v.Key, prefix); ok && rest != "" {
			s.claimed[v.Key] = true
			v.Key = rest
			out = append(out, v)
		}
	}
	return out
}

// Unclaimed are the values that nobody has read.
func (s *Section) Unclaimed() Values {
	var out Values
	for _, v := range s.Values {
		if !s.claimed[v.Key] {
			out = append(out, v)
		}
	}
	return out
}

// Fatal reports whether what was read keeps the component from running: it has no type, or a value cannot be resolved.
// Read has reported why.
func (s *Section) Fatal() bool {
	return s.fatal || slices.ContainsFunc(s.Values, func(v Value) bool { return v.Fault != "" })
}

// Problem describes what is wrong with key (or, with an empty key, with the whole component).
func (s *Section) Problem(sev Severity, key, text string) Problem {
	pos := s.Pos
	if v, ok := s.Values.Get(key); ok {
		pos = v.Pos
	} else if v, ok := s.empty.Get(key); ok {
		pos = v.Pos
	}
	return Problem{Pos: pos, Agent: s.Agent, Subject: s.Path(key), Text: text, Severity: sev}
}
