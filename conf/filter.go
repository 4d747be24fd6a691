package conf

import "strings"

// A Filter resolves ${NAME['key']} in values: a config filter of the agent.
type Filter interface {
	// Lookup returns the value of key. With an error made by Warn the value is taken and the error reported. The error
	// does not hold the value.
	Lookup(key string) (string, error)
}

// A FilterKind is one type of config filter. The kinds of the binary are listed in package kit.
type FilterKind struct {
	Type    string // Flume's alias, matched in any case
	Class   string // Flume's class name, matched exactly
	Summary string // one sentence
	Absent  string // not empty: it cannot be opened, and this says why and what to do instead

	settings func() Settings
	open     func(s Settings, sec *Section) (Filter, error)
}

// DefineFilter makes a kind of its settings S and the function that opens it.
func DefineFilter[S any, P interface {
	*S
	Settings
}](typ, class, summary string, open func(s *S, sec *Section) (Filter, error)) FilterKind {
	return FilterKind{
		Type: typ, Class: class, Summary: summary,
		settings: func() Settings { return P(new(S)) },
		open: func(s Settings, sec *Section) (Filter, error) {
			p, ok := s.(P)
			if !ok {
				panic("BUG: settings of another kind")
			}
			return open(p, sec)
		},
	}
}

// RefuseFilter makes a kind that is known by name and cannot be opened; why says what to do instead.
func RefuseFilter(typ, class, why string) FilterKind {
	return FilterKind{Type: typ, Class: class, Absent: why, Summary: why}
}

// Is reports whether a file's type means this kind: the alias in any case, the class name exactly.
func (k FilterKind) Is(typ string) bool {
	return strings.EqualFold(typ, k.Type) || k.Class != "" && typ == k.Class
}

// Manual describes the settings. A refused kind has none.
func (k FilterKind) Manual() Manual {
	if k.settings == nil {
		return Manual{}
	}
	return Describe(k.settings())
}

func (k FilterKind) bind(sec *Section) (Settings, Problems) {
	if k.Absent != "" {
		return nil, Problems{sec.Problem(Fatal, "type", k.Absent)}
	}
	s := k.settings()
	_, problems := Bind(s, sec)
	return s, problems
}

func (k FilterKind) start(s Settings, sec *Section) (Filter, Problems) {
	f, err := k.open(s, sec)
	if err != nil {
		return nil, Problems{sec.Problem(Fatal, "", err.Error())}
	}
	return f, nil
}
