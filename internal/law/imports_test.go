package law

import (
	"fmt"
	"go/ast"
	"strconv"
	"strings"
	"testing"
)

// An arrow says what the packages below a directory may import of this module, and whether libraries of others. The
// first one that fits holds. A pattern names a directory or, with /... behind it, all that is below it.
type arrow struct {
	from      string
	to        []string
	libraries bool
}

// below are the packages of internal that stand below the agent and its components.
const below = "internal/..."

var arrows = []arrow{
	{from: "conf"},
	{from: "flume", to: []string{"conf"}},
	{from: "agent", to: []string{"flume", "conf", below}},
	{from: "kit", to: []string{"agent", "flume", "conf", "source/...", "interceptor/...", "selector/...", "channel/...", "sink/...", "sinkgroup/...", "configfilter/..."}},
	{from: "sink/avro", to: []string{"flume", "conf", "client/...", below}, libraries: true},
	{from: "sink/thrift", to: []string{"flume", "conf", "client/...", below}, libraries: true},
	{from: "channel/spillable", to: []string{"flume", "conf", "channel/memory", "channel/file", below}, libraries: true},
	{from: "source/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "interceptor/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "selector/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "channel/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "sink/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "sinkgroup/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "configfilter/...", to: []string{"conf", below}, libraries: true},
	{from: "client/...", to: []string{"client/...", "flume", below}, libraries: true},
	{from: "flumetest", to: []string{"flume", "conf"}, libraries: true},
	{from: "embedded", to: []string{"agent", "flume", "conf"}},
	{from: "console/...", to: []string{"flume", "agent", "conf", below}},
	{from: ".", to: []string{"agent", "internal/cli"}},
	{from: "cmd/sluice", to: []string{"kit", "internal/cli"}},
	{from: "internal/cli", to: []string{"agent", "flume", "conf", "console/...", "client/...", below, "internal/demo"}, libraries: true},
	{from: "internal/demo", to: []string{"agent", "flume", "conf", below}, libraries: true},
	{from: "internal/...", to: []string{"flume", "conf", below}, libraries: true},
	{from: "test/...", to: []string{"..."}, libraries: true},
}

// above are the packages of internal that know the agent, and so are not meant by internal/... .
func above(dir string) bool { return dir == "internal/cli" || dir == "internal/demo" }

func fits(pattern, dir string) bool {
	if stem, ok := strings.CutSuffix(pattern, "..."); ok {
		if pattern == below && above(dir) {
			return false
		}
		return strings.HasPrefix(dir+"/", stem)
	}
	return pattern == dir
}

// imports finds imports against the arrows.
func imports(u *unit) []string {
	var at *arrow
	for i := range arrows {
		if fits(arrows[i].from, u.dir) || arrows[i].from == "internal/..." && strings.HasPrefix(u.dir, "internal/") {
			at = &arrows[i]
			break
		}
	}
	if at == nil {
		return []string{fmt.Sprintf("%s: no arrow of internal/law says what this package may import", u.dir)}
	}
	var found []string
	each(u, func(spec *ast.ImportSpec, imported string) {
		dir, ours := strings.CutPrefix(imported, module+"/")
		switch {
		case ours:
			for _, pattern := range at.to {
				if fits(pattern, dir) {
					return
				}
			}
			found = append(found, fmt.Sprintf("%s: %s may not import %s", u.where(spec), u.dir, dir))
		case strings.Contains(strings.Split(imported, "/")[0], ".") && !at.libraries:
			found = append(found, fmt.Sprintf("%s: %s may import no library, such as %s", u.where(spec), u.dir, imported))
		}
	})
	return found
}

// forbidden finds packages that nothing but tests may import.
func forbidden(u *unit) []string {
	var found []string
	each(u, func(spec *ast.ImportSpec, imported string) {
		switch imported {
		case "reflect", "unsafe", "testing":
			if imported == "testing" && (u.dir == "flumetest" || strings.HasPrefix(u.dir, "test/")) {
				return
			}
			if imported == "unsafe" && u.dir == "internal/wal" {
				return // one line, text.go: header strings are views of the record that they were read with
			}
			found = append(found, fmt.Sprintf("%s: %s may not import %s", u.where(spec), u.dir, imported))
		}
	})
	return found
}

func each(u *unit, do func(spec *ast.ImportSpec, imported string)) {
	for _, f := range u.files {
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				panic(err) // the parser has read it
			}
			do(spec, imported)
		}
	}
}

// Every arrow is for a package that exists or that the design draws.
func TestArrows(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range arrows {
		if seen[a.from] {
			t.Errorf("there are two arrows from %s", a.from)
		}
		seen[a.from] = true
	}
}
