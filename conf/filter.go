package conf

// A Filter resolves ${NAME['key']} in values: a config filter of the agent.
type Filter interface {
	// Lookup returns the value of key.
	Lookup(key string) (string, error)
}

// A FilterKind is one type of config filter.
type FilterKind struct {
	Type    string
	Class   string
	Summary string
	Absent  string // not empty: it cannot be opened, and this says why and what to do instead
	Open    func(sec *Section) (Filter, Problems)
}
