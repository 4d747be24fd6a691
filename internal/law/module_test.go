package law

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sluice-io/sluice"

// A unit is one package, or the tests in its directory.
type unit struct {
	dir   string // below the module: "sink/null"
	fset  *token.FileSet
	files []*ast.File // without tests
	tests []*ast.File
}

// where is the place of a node as a reader looks it up.
func (u *unit) where(n ast.Node) string {
	return u.fset.Position(n.Pos()).String()
}

// load parses the whole module.
func load(t *testing.T) []*unit {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	units := map[string]*unit{}
	var order []*unit
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(file, "go.mod")); file != root && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		u := units[path.Dir(rel)]
		if u == nil {
			u = &unit{dir: path.Dir(rel), fset: token.NewFileSet()}
			units[u.dir] = u
			order = append(order, u)
		}
		return u.add(rel, string(text))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(order) < 10 {
		t.Fatalf("only %d packages were found", len(order))
	}
	return order
}

func (u *unit) add(name, text string) error {
	f, err := parser.ParseFile(u.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, "_test.go") {
		u.tests = append(u.tests, f)
	} else {
		u.files = append(u.files, f)
	}
	return nil
}

// component is the role of a package that holds a kind, such as sink; empty for all others.
func (u *unit) component() string {
	role, name, ok := strings.Cut(u.dir, "/")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	switch role {
	case "source", "interceptor", "selector", "channel", "sink", "sinkgroup", "configfilter":
		return role
	}
	return ""
}
