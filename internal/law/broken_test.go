package law

import (
	"go/token"
	"strings"
	"testing"
)

// Each law finds what breaks it, and nothing in what does not.
func TestBroken(t *testing.T) {
	const doc = "// Package x is x.\n"
	for _, x := range []struct {
		law  string
		dir  string
		text string
		want string // a part of what is found; empty: nothing
	}{
		{"imports", "sink/null", doc + `package null; import _ "github.com/sluice-io/sluice/agent"`, "sink/null may not import agent"},
		{"imports", "sink/null", doc + `package null; import _ "github.com/sluice-io/sluice/sink/avro"`, "may not import sink/avro"},
		{"imports", "sink/null", doc + `package null; import _ "github.com/sluice-io/sluice/internal/cli"`, "may not import internal/cli"},
		{"imports", "sink/null", doc + `package null; import (_ "github.com/sluice-io/sluice/internal/tls"; _ "example.org/x")`, ""},
		{"imports", "sink/avro", doc + `package avro; import _ "github.com/sluice-io/sluice/client"`, ""},
		{"imports", "agent", doc + `package agent; import _ "github.com/sluice-io/sluice/sink/null"`, "agent may not import sink/null"},
		{"imports", "conf", doc + `package conf; import _ "example.org/x"`, "conf may import no library, such as example.org/x"},
		{"imports", "internal/stats", doc + `package stats; import _ "github.com/sluice-io/sluice/agent"`, "may not import agent"},
		{"imports", "internal/cli", doc + `package cli; import _ "github.com/sluice-io/sluice/kit"`, "may not import kit"},
		{"imports", "attic", doc + `package attic`, "no arrow"},
		{"forbidden", "conf", `package conf; import _ "reflect"`, "may not import reflect"},
		{"forbidden", "conf", `package conf; import _ "testing"`, "may not import testing"},
		{"init", "conf", `package conf; func init() {}`, "an init function"},
		{"init", "conf", `package conf; type t int; func (t) init() {}`, ""},
		{"variables", "conf", `package conf; import "errors"; var errX, table = errors.New("x"), []int{1}; var _ = table`, ""},
		{"variables", "conf", `package conf; var count int`, "count has no value"},
		{"variables", "conf", `package conf; import "sync"; var mu = sync.Mutex{}`, "mu is made to change"},
		{"variables", "conf", `package conf; var cache = make(map[string]int)`, "cache is made to change"},
		{"variables", "conf", `package conf; var p = &struct{}{}`, "p is made to change"},
		{"variables", "conf", `package conf; var n = 1; func f() { n++ }`, "n can change here"},
		{"variables", "conf", `package conf; var m = map[int]int{}; func f() { m[1] = 2 }`, "m can change here"},
		{"variables", "conf", `package conf; var m = map[int]int{}; func f() { delete(m, 1) }`, "m can change here"},
		{"variables", "conf", `package conf; var s = []struct{ a int }{{1}}; func f() *int { return &s[0].a }`, "s can change here"},
		{"variables", "conf", `package conf; var n = 1; func f() { n := 2; n++ }`, ""},
		{"variables", "conf", "package conf; import _ \"embed\"\n//go:embed x\nvar page string", ""},
		{"any", "conf", `package conf; func F(x any) {}`, "any in the exported F"},
		{"any", "conf", `package conf; func F(x ...interface{}) {}`, "interface{} in the exported F"},
		{"any", "conf", `package conf; type T struct { F map[string]any; g any }`, "any in the exported T"},
		{"any", "conf", `package conf; type T interface { M() any }`, "any in the exported T"},
		{"any", "conf", `package conf; type T struct{}; func (*T) M(any) {}`, "any in the exported M"},
		{"any", "conf", `package conf; type T[C any] struct{ c C }; func F[C any](c C) {}; func f(any) {}; type t struct { F any }; func (t) M(any) {}`, ""},
		{"doc", "conf", `package conf`, "0 files"},
		{"components", "sink/null", `package null; var Kind = 1; type Settings struct{}; func (Settings) Declare() {}`, ""},
		{"components", "sink/null", `package null; var Kind = 1; func Helper() {}`, "not Helper"},
		{"components", "sink/null", `package nul; var Kind = 1`, "the package is nul instead of null"},
		{"components", "sink/null", `package null`, "no Kind in null.go"},
		{"components", "sinkgroup/default", `package defaultgroup; var Kind = 1`, ""},
		{"lengths", "conf", "package conf" + strings.Repeat("\n", 801), "801 lines"},
		{"lengths", "conf", "package conf" + strings.Repeat("\n", 800), ""},
		{"sleeps", "conf", `package conf; import "time"; func f() { time.Sleep(1) }`, "time.Sleep"},
		{"failed", "conf", `package conf; import "errors"; var errX = errors.New("failed to open")`, `"failed to open"`},
	} {
		u := &unit{dir: x.dir, fset: token.NewFileSet()}
		_, base, _ := strings.Cut("/"+x.dir, "/")
		if i := strings.LastIndexByte(base, '/'); i >= 0 {
			base = base[i+1:]
		}
		if err := u.add(x.dir+"/"+base+".go", x.text); err != nil {
			t.Fatal(err)
		}
		check := map[string]func(*unit) []string{
			"imports": imports, "forbidden": forbidden, "init": initialisers, "variables": variables, "any": exportedAny, "doc": docs,
			"components": components, "lengths": lengths, "sleeps": sleeps, "failed": failedTo,
		}[x.law]
		found := strings.Join(check(u), "\n")
		if x.want == "" && found != "" || x.want != "" && !strings.Contains(found, x.want) {
			t.Errorf("%s of %.60q found %q instead of %q", x.law, x.text, found, x.want)
		}
	}
}
