package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A launch is what flume-ng, the launcher script, reads off the line before the command sees it, and what it finds in
// the configuration directory's flume-env.sh.
type launch struct {
	dir        string // --conf
	dry        bool
	properties properties
	env        map[string]string // what flume-env.sh exports
	warnings   []string
	args       []string // what is left for the command
}

// properties are the JVM's system properties: -Dname=value. The last of a name wins.
type properties map[string]string

func (p properties) lookup(name string) (string, bool) {
	v, ok := p[name]
	return v, ok
}

// readLaunch takes the launcher's options off the line, wherever they stand, and then reads flume-env.sh.
func readLaunch(args []string, environ func(string) (string, bool)) (*launch, error) {
	l := &launch{properties: javaProperties(environ), env: map[string]string{}}
	var given []string // JVM options of the line, which win over those of the script
	var classpath string
	for i := 0; i < len(args); i++ {
		name, value, assigned := strings.Cut(args[i], "=")
		switch name {
		case "--conf", "-c", "--classpath", "-C", "--plugins-path":
			if !assigned {
				if i++; i == len(args) || args[i] == "" {
					return nil, fmt.Errorf("option %s needs an argument", name)
				}
				value = args[i]
			}
			switch name {
			case "--conf", "-c":
				l.dir = value
			case "--classpath", "-C":
				classpath = value
			case "--plugins-path":
				l.warn("--plugins-path %s is not used: every component is in the binary", value)
			}
			continue
		}
		switch arg := args[i]; {
		case arg == "--dryrun" || arg == "-d":
			l.dry = true
		case arg == "-D":
			return nil, errors.New("option -D needs a name and a value without a blank: -Dname=value")
		case isJVM(arg):
			given = append(given, arg)
		default:
			l.args = append(l.args, arg)
		}
	}
	script, err := l.readScript(environ)
	if err != nil {
		return nil, err
	}
	l.jvm(strings.Fields(script.vars["JAVA_OPTS"]))
	l.jvm(strings.Fields(script.vars["FLUME_JAVA_OPTS"]))
	l.jvm(given)
	for _, path := range []string{classpath, script.vars["FLUME_CLASSPATH"]} {
		if path != "" {
			l.warn("the class path %s is not used: every component is in the binary", path)
		}
	}
	l.warnings = append(l.warnings, l.properties.doubts()...)
	return l, nil
}

func isJVM(arg string) bool {
	for _, prefix := range []string{"-D", "-X", "-agentlib", "-agentpath", "-javaagent:"} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	return false
}

// jvm reads options of the JVM: -D is taken, sizes and tuning (-X) mean nothing here, the rest is named.
func (l *launch) jvm(options []string) {
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		switch {
		case strings.HasPrefix(o, "-D"):
			l.properties[strings.TrimPrefix(name, "-D")] = value
		case strings.HasPrefix(o, "-X"):
		default:
			l.warn("the JVM option %s is not used: there is no JVM", name)
		}
	}
}

func (l *launch) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// readScript reads flume-env.sh of the configuration directory. Of the launcher's variables only FLUME_JAVA_OPTS is
// inherited from the environment; the others start as the launcher sets them.
func (l *launch) readScript(environ func(string) (string, bool)) (*envScript, error) {
	inherited := func(name string) (string, bool) {
		switch name {
		case "JAVA_OPTS":
			return "-Xmx20m", true
		case "FLUME_CLASSPATH", "FLUME_JAVA_LIBRARY_PATH", "LD_LIBRARY_PATH":
			return "", true
		}
		return environ(name)
	}
	s := newEnvScript(inherited)
	if l.dir == "" {
		return s, nil
	}
	if info, err := os.Stat(l.dir); err != nil || !info.IsDir() {
		l.warn("the configuration directory %s does not exist; without it no flume-env.sh is read", absolute(l.dir))
		return s, nil
	}
	path := filepath.Join(l.dir, "flume-env.sh")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading flume-env.sh: %w", err)
	}
	s.read(string(text))
	for _, w := range s.skipped {
		l.warn("%s:%d: %s: needs a shell and is not read; set what it sets in the environment or as NAME=value", path, w.line, w.text)
	}
	for name := range s.exported {
		l.env[name] = s.vars[name]
	}
	return s, nil
}

// environment finds what flume-env.sh exports, else what the process was started with.
func (l *launch) environment(environ func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if v, ok := l.env[name]; ok {
			return v, true
		}
		return environ(name)
	}
}

// javaProperties are the system properties that files name and every JVM has.
func javaProperties(environ func(string) (string, bool)) properties {
	p := properties{"java.io.tmpdir": os.TempDir(), "file.separator": "/", "path.separator": ":", "os.name": "Linux"}
	if v, ok := environ("HOME"); ok {
		p["user.home"] = v
	}
	if v, ok := environ("USER"); ok {
		p["user.name"] = v
	}
	if dir, err := os.Getwd(); err == nil {
		p["user.dir"] = dir
	}
	return p
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
