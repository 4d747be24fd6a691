package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// read reads files as one configuration.
func (p *program) read(files []string, l *launch) (*conf.Config, conf.Problems, error) {
	for _, file := range files {
		if err := readable(file); err != nil {
			return nil, nil, err
		}
	}
	cfg, problems, err := conf.Read(files, conf.Options{
		Property: l.properties.lookup,
		Env:      l.environment(p.environ),
		BareEnv:  l.properties["propertiesImplementation"] == "org.apache.flume.node.EnvVarResolverProperties",
		Filters:  p.kit.ConfigFilters,
	})
	if err != nil {
		return nil, nil, err
	}
	if len(cfg.Agents) == 0 {
		return nil, problems, fmt.Errorf("%s%s names no agent: a configuration has lines such as a1.sources = r1", problems, strings.Join(files, ", "))
	}
	return cfg, problems, nil
}

// readable says of a file that cannot be read where it was looked for.
func readable(file string) error {
	where := ""
	if dir, err := os.Getwd(); err == nil && !filepath.IsAbs(file) {
		where = fmt.Sprintf(" (%s, looked for in %s)", file, dir)
	}
	f, err := os.Open(file)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err
		}
		return fmt.Errorf("reading %s%s: %w", absolute(file), where, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("reading %s: %w", absolute(file), err)
	case info.IsDir():
		return fmt.Errorf("reading %s%s: it is a directory, not a file", absolute(file), where)
	case info.Mode().IsRegular() && info.Size() == 0:
		return fmt.Errorf("reading %s%s: the file is empty", absolute(file), where)
	}
	return nil
}

// hasAgent says which agents there are where the one asked for is not.
func hasAgent(configs []*conf.Config, sets [][]string, name string) error {
	var names, quoted, files []string
	for i, cfg := range configs {
		if cfg.Agent(name) != nil {
			return nil
		}
		for _, a := range cfg.Agents {
			names, quoted = append(names, a.Name), append(quoted, fmt.Sprintf("%q", a.Name))
		}
		files = append(files, sets[i]...)
	}
	hint := ""
	if near := conf.Nearest(name, names); near != "" && len(names) > 1 {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	it := "it has"
	if len(files) > 1 {
		it = "they have"
	}
	return fmt.Errorf("no agent %q in %s; %s %s%s", name, strings.Join(files, ", "), it, strings.Join(quoted, ", "), hint)
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
