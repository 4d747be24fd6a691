//go:build interop

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/kit"
)

// A component of a file: where its type is, and whether the binary has that type.
type component struct {
	line      int
	key, typ  string
	available bool
}

var typeLine = regexp.MustCompile(`^\s*([^#!\s=:]+)\.type\s*[=:\s]\s*(\S+)\s*$`)

// components finds every line of a file that gives a component its type.
func components(text string) []component {
	var all []component
	for i, line := range strings.Split(text, "\n") {
		m := typeLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := component{line: i + 1, key: m[1], typ: m[2]}
		parts := strings.Split(m[1], ".")
		switch k := kit.Standard; {
		case len(parts) == 3 && parts[1] == "sources":
			c.available = has(k.Sources, c.typ)
		case len(parts) == 3 && parts[1] == "channels":
			c.available = has(k.Channels, c.typ)
		case len(parts) == 3 && parts[1] == "sinks":
			c.available = has(k.Sinks, c.typ)
		case len(parts) == 4 && parts[3] == "selector":
			c.available = has(k.Selectors, c.typ)
		case len(parts) == 5 && parts[3] == "interceptors":
			c.available = has(k.Interceptors, c.typ)
		case len(parts) == 4 && parts[3] == "processor":
			c.available = has(k.SinkProcessors, c.typ)
		default:
			continue // the type of something within a component, a serializer's
		}
		all = append(all, c)
	}
	return all
}

func has[C any](kinds []flume.Kind[C], typ string) bool {
	for _, k := range kinds {
		if k.Is(typ) {
			return k.Absent == ""
		}
	}
	return false
}

// Every configuration of Flume's user guide is taken, or what it cannot have is refused by name, file and line; the
// agent runs with the rest, or says that nothing is left.
func TestGuide(t *testing.T) {
	if stage.StandIn {
		t.Skip("about Sluice's messages")
	}
	files, err := filepath.Glob("testdata/guide/*.conf")
	if err != nil || len(files) != 103 {
		t.Fatalf("%d files, want 103: %v", len(files), err)
	}
	environment := []string{"NC_PORT=44444", "BIND=127.0.0.1"}
	loaded, refused, none := 0, 0, 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			path, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"-f", path}
			if base := filepath.Base(file); strings.HasPrefix(base, "config-property-ref-") { // two files that make one
				args = []string{"-f", filepath.Join(filepath.Dir(path), "config-property-ref-base.conf"), "-f", filepath.Join(filepath.Dir(path), "config-property-ref-override.conf")}
				if text, err = os.ReadFile(args[1]); err != nil {
					t.Fatal(err)
				}
				path = args[1]
			}
			all := components(string(text))
			if len(all) == 0 {
				t.Fatal("the test finds no component in it")
			}
			defines := append([]string{"-DNC_PORT=44444"}, args...)
			checked := stage.Sluice(t, 20*time.Second, environment, append([]string{"check"}, defines...)...)
			judge(t, "check", path, all, checked.Output)
			if checked.Status != 0 && !strings.Contains(checked.Output, filepath.Base(file)) && !strings.Contains(checked.Output, filepath.Base(path)) {
				t.Errorf("check ends with %d and names no file:\n%s", checked.Status, checked.Output)
			}
			name, _, _ := strings.Cut(all[0].key, ".")
			started, runs := brief(t, environment, name, defines)
			judge(t, "agent", path, all, started)
			absent := 0
			for _, c := range all {
				if !c.available {
					absent++
				}
			}
			switch {
			case !runs:
				none++
			case absent > 0:
				refused++
			default:
				loaded++
			}
			if absent == 0 && !runs {
				t.Errorf("everything in it is there, yet it does not run:\n%s", started)
			}
		})
	}
	stage.Proof(t, "%d configurations: %d run whole, %d run without what was refused by name and line, %d have nothing that can run", len(files), loaded, refused, none)
}

// judge compares what was said about types with what the binary has.
func judge(t *testing.T, command, path string, all []component, output string) {
	t.Helper()
	for _, word := range []string{"panic:", "BUG:", "goroutine ", "SIGSEGV"} {
		if strings.Contains(output, word) {
			t.Errorf("%s crashed:\n%s", command, output)
		}
	}
	for _, c := range all {
		if c.available {
			continue
		}
		at := fmt.Sprintf("%s:%d: %s.type: ", path, c.line, c.key)
		// A component that cannot be read for another reason too, such as a secret that is not there, may be refused for that.
		other := regexp.MustCompile(regexp.QuoteMeta(path) + `:\d+: ` + regexp.QuoteMeta(c.key) + `\.\S+: \$\{`)
		if !strings.Contains(output, at) && !other.MatchString(output) {
			t.Errorf("%s does not refuse %s.type = %s at line %d:\n%s", command, c.key, c.typ, c.line, output)
		}
	}
}

// brief starts an agent and ends it when it runs, or sees it end.
func brief(t *testing.T, environment []string, name string, args []string) (output string, runs bool) {
	t.Helper()
	args = append([]string{"agent", "-n", name, "-Dflume.root.logger=INFO,console"}, args...)
	r := stage.SluiceUntil(t, 10*time.Second, environment, " running after=", args...)
	runs = strings.Contains(r.Output, " running after=")
	if !runs && (r.Status == 0 || strings.TrimSpace(r.Output) == "") {
		t.Errorf("it neither runs nor ends with a message: status %d\n%s", r.Status, r.Output)
	}
	return r.Output, runs
}
