package law

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rules are the laws of one package. Each returns what breaks it.
var rules = []struct {
	name  string
	check func(u *unit) []string
}{
	{"imports follow the arrows", imports},
	{"no reflection, no unsafe code, no testing outside of tests", forbidden},
	{"no init", initialisers},
	{"package variables do not change", variables},
	{"no any in exported signatures", exportedAny},
	{"every package has one doc", docs},
	{"a component is named after its type and exports Kind and Settings alone", components},
	{"no file is longer than 800 lines", lengths},
	{"nothing sleeps", sleeps},
	{"errors say what was being done", failedTo},
}

func TestLaws(t *testing.T) {
	units := load(t)
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, u := range units {
				for _, broken := range rule.check(u) {
					t.Error(broken)
				}
			}
		})
	}
}

func initialisers(u *unit) []string {
	var found []string
	for _, f := range u.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, fmt.Sprintf("%s: an init function", u.where(fn)))
			}
		}
	}
	return found
}

// variables finds package variables that could change: those that are made to (a mutex, a pointer, a map to be filled,
// no value at all) and those that are assigned to or have their address taken anywhere in the package.
func variables(u *unit) []string {
	var found []string
	vars := map[string]bool{}
	for _, f := range u.files {
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				if len(spec.Values) == 0 && !embedded(decl, spec) {
					found = append(found, fmt.Sprintf("%s: the package variable %s has no value", u.where(spec), spec.Names[0].Name))
				}
				for i, name := range spec.Names {
					if name.Name == "_" || name.Name == "Kind" {
						continue
					}
					vars[name.Name] = true
					if len(spec.Values) > i && !constant(spec.Values[i]) {
						found = append(found, fmt.Sprintf("%s: the package variable %s is made to change", u.where(name), name.Name))
					}
				}
			}
		}
	}
	for _, f := range u.files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			found = append(found, changes(u, fn, vars)...)
		}
	}
	return found
}

// embedded reports whether a variable gets its value from a file.
func embedded(decl *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// constant reports whether a value is of a sort that is there to be read: a literal, an error, a pattern, a kit.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.FuncLit, *ast.Ident, *ast.SelectorExpr, *ast.BinaryExpr:
		return true
	case *ast.CompositeLit:
		if sel, ok := e.Type.(*ast.SelectorExpr); ok {
			pkg, _ := sel.X.(*ast.Ident)
			return pkg == nil || pkg.Name != "sync" && pkg.Name != "atomic"
		}
		return true
	case *ast.CallExpr:
		name := called(e)
		return name == "errors.New" || name == "fmt.Errorf" || name == "regexp.MustCompile" || name == "strings.NewReplacer" ||
			strings.HasPrefix(name, "flume.") || strings.HasPrefix(name, "slices.") || name == ""
	}
	return false
}

// called is pkg.Func for a call of that form, the name of a plain function or conversion, or "".
func called(call *ast.CallExpr) string {
	fun := call.Fun
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	switch fun := fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if pkg, ok := fun.X.(*ast.Ident); ok {
			return pkg.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

// changes finds what a function does to package variables. A local variable of the same name hides one from it.
func changes(u *unit, fn *ast.FuncDecl, vars map[string]bool) []string {
	local := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						local[id.Name] = true
					}
				}
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					local[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				local[name.Name] = true
			}
		}
		return true
	})
	var found []string
	change := func(n ast.Node, e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				e = x.X
				continue
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.Ident:
				if vars[x.Name] && !local[x.Name] {
					found = append(found, fmt.Sprintf("%s: the package variable %s can change here", u.where(n), x.Name))
				}
			}
			return
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					change(n, e)
				}
			}
		case *ast.IncDecStmt:
			change(n, n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				change(n, n.X)
			}
		case *ast.CallExpr:
			if name := called(n); (name == "delete" || name == "clear") && len(n.Args) > 0 {
				change(n, n.Args[0])
			}
		}
		return true
	})
	return found
}

// exportedAny finds any and interface{} in what a package exports. Constraints of type parameters may be any.
func exportedAny(u *unit) []string {
	if strings.HasPrefix(u.dir, "test/") {
		return nil // a harness prints as testing.T does
	}
	var found []string
	look := func(what string, t ast.Node) {
		if t == nil {
			return
		}
		ast.Inspect(t, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Name == "any" {
					found = append(found, fmt.Sprintf("%s: any in the exported %s", u.where(n), what))
				}
			case *ast.InterfaceType:
				if n.Methods.NumFields() == 0 {
					found = append(found, fmt.Sprintf("%s: interface{} in the exported %s", u.where(n), what))
				}
			}
			return true
		})
	}
	signature := func(what string, t *ast.FuncType) {
		look(what, t.Params)
		if t.Results != nil {
			look(what, t.Results)
		}
	}
	for _, f := range u.files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
					signature(d.Name.Name, d.Type)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch spec := s.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() {
							exportedType(spec, look, signature)
						}
					case *ast.ValueSpec:
						if spec.Names[0].IsExported() && spec.Type != nil {
							look(spec.Names[0].Name, spec.Type)
						}
					}
				}
			}
		}
	}
	return found
}

// exportedType looks at what of a type other packages see.
func exportedType(spec *ast.TypeSpec, look func(string, ast.Node), signature func(string, *ast.FuncType)) {
	switch t := spec.Type.(type) {
	case *ast.StructType:
		for _, field := range t.Fields.List {
			if len(field.Names) == 0 || field.Names[0].IsExported() {
				look(spec.Name.Name, field.Type)
			}
		}
	case *ast.InterfaceType:
		for _, m := range t.Methods.List {
			if fn, ok := m.Type.(*ast.FuncType); ok && m.Names[0].IsExported() {
				signature(spec.Name.Name, fn)
			}
		}
	case *ast.FuncType:
		signature(spec.Name.Name, t)
	default:
		look(spec.Name.Name, t)
	}
}

// receiver is the name of a method's type.
func receiver(fn *ast.FuncDecl) string {
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func docs(u *unit) []string {
	if len(u.files) == 0 {
		return nil // tests only
	}
	n := 0
	for _, f := range u.files {
		if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
			n++
		}
	}
	if n != 1 {
		return []string{fmt.Sprintf("%s: %d files have a package doc", u.dir, n)}
	}
	return nil
}

// components looks at packages that hold a kind. One whose type is a word of Go is named after its role too.
func components(u *unit) []string {
	role := u.component()
	if role == "" || len(u.files) == 0 {
		return nil
	}
	var found []string
	typ := path.Base(u.dir)
	want := typ
	if token.IsKeyword(typ) {
		want += "group"
	}
	var kind bool
	for _, f := range u.files {
		if f.Name.Name != want {
			found = append(found, fmt.Sprintf("%s: the package is %s instead of %s", u.where(f), f.Name.Name, want))
		}
		home := u.dir+"/"+typ+".go" == u.fset.Position(f.Pos()).Filename
		for _, name := range exported(f) {
			switch name {
			case "Kind":
				kind = kind || home
			case "Settings":
			default:
				found = append(found, fmt.Sprintf("%s: a component exports Kind and Settings alone, not %s", u.where(f), name))
			}
		}
	}
	if !kind {
		found = append(found, fmt.Sprintf("%s: there is no Kind in %s.go", u.dir, typ))
	}
	return found
}

// exported are the names that a file declares for other packages; methods belong to their type.
func exported(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch spec := s.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						names = append(names, spec.Name.Name)
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() {
							names = append(names, name.Name)
						}
					}
				}
			}
		}
	}
	return names
}

func lengths(u *unit) []string {
	var found []string
	for _, f := range slices.Concat(u.files, u.tests) {
		file := u.fset.File(f.Pos())
		if n := file.LineCount(); n > 800 {
			found = append(found, fmt.Sprintf("%s: %d lines", file.Name(), n))
		}
	}
	return found
}

func sleeps(u *unit) []string {
	if strings.HasPrefix(u.dir, "test/") {
		return nil // real peers are waited for
	}
	var found []string
	for _, f := range u.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && called(call) == "time.Sleep" {
				found = append(found, fmt.Sprintf("%s: time.Sleep cannot be stopped; wait with a context", u.where(call)))
			}
			return true
		})
	}
	return found
}

func failedTo(u *unit) []string {
	var found []string
	for _, f := range u.files {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err == nil && strings.HasPrefix(strings.ToLower(text), "failed to") {
				found = append(found, fmt.Sprintf("%s: %q; say what was being done, as in \"opening %%s: %%w\"", u.where(lit), text))
			}
			return true
		})
	}
	return found
}
