package conf

import "time"

// Options say what stands outside of the files.
type Options struct {
	Property Lookup // system properties, -Dname=value
	Env      Lookup // environment variables
	// BareEnv resolves ${NAME} from the environment too where no key has that name: the effect of
	// -DpropertiesImplementation=org.apache.flume.node.EnvVarResolverProperties.
	BareEnv bool
	// Agent is the one whose config filters are opened and asked, which may run programs. Empty: those of all agents.
	Agent   string
	Filters []FilterKind
	Now     time.Time // of ${date:…}; zero: the clock
}

// A Config is what one or more files say.
type Config struct {
	Agents []*Agent // in the order in which the files name them
}

// Agent returns the agent of that name, or nil.
func (c *Config) Agent(name string) *Agent {
	for _, a := range c.Agents {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// An Agent is one agent of a file: its listed components, in listed order. A component that cannot run is there too;
// its section says so ([Section.Fatal]).
type Agent struct {
	Name       string
	Pos        Pos // of its first line
	Channels   []*Section
	Sources    []*Section
	Sinks      []*Section
	SinkGroups []*Section
}
