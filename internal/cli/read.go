package cli

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// read reads files as one configuration. Of agent only the config filters are asked; empty: those of all agents.
func (p *program) read(files []string, agent string, l *launch) (*conf.Config, conf.Problems, error) {
	cfg, problems, err := conf.Read(files, conf.Options{
		Property: l.properties.lookup,
		Env:      l.environment(p.environ),
		BareEnv:  l.properties["propertiesImplementation"] == "org.apache.flume.node.EnvVarResolverProperties",
		Agent:    agent,
		Filters:  p.kit.ConfigFilters,
	})
	if err != nil {
		return nil, nil, err
	}
	if len(cfg.Agents) == 0 && !problems.Fatal() {
		problems = append(problems, conf.Problem{Pos: conf.Pos{File: strings.Join(files, ", ")}, Severity: conf.Fatal,
			Text: "there is no agent in it: a configuration has lines such as a1.sources = r1"})
	}
	return cfg, problems, nil
}

// hasAgent says which agents there are where the one asked for is not.
func hasAgent(configs []*conf.Config, sets [][]string, name string) error {
	var names, files []string
	for _, cfg := range configs {
		if cfg.Agent(name) != nil {
			return nil
		}
		for _, a := range cfg.Agents {
			names = append(names, a.Name)
		}
	}
	for _, set := range sets {
		files = append(files, set...)
	}
	if len(names) == 0 {
		return fmt.Errorf("no agent %q in %s", name, strings.Join(files, ", "))
	}
	hint := ""
	if near := conf.Nearest(name, names); near != "" && len(names) > 1 {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	it := "it has"
	if len(files) > 1 {
		it = "they have"
	}
	return fmt.Errorf("no agent %q in %s; %s %s%s", name, strings.Join(files, ", "), it, conf.QuoteNames(names), hint)
}

// fileOf finds the file that a URI of -u names.
func fileOf(uri, dir string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("reading the URI of a configuration: %w", err)
	}
	path := u.Path
	if path == "" {
		path = u.Opaque
	}
	switch u.Scheme {
	case "":
		return uri, nil
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return "", fmt.Errorf("%s names a file of another machine; a file of this one is file:///path", uri)
		}
		return path, nil
	case "classpath":
		// classpath://x has x where other URIs have a host.
		return filepath.Join(dir, u.Host, path), nil
	case "http", "https":
		return "", fmt.Errorf("%s: reading the configuration from a web server is not in this version; fetch it to a file before the start and give that with -f", uri)
	}
	return "", fmt.Errorf("%s: configurations are read from file: and classpath: URIs", uri)
}
