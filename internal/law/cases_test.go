package law

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The table of Flume's own tests is whole, and every test of ours that it names is there, subtests with their names.
func TestFlumeFileChannelTests(t *testing.T) {
	const page = "../../docs/reference/flume-file-channel-tests.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]*unit{}
	for _, u := range load(t) {
		units[u.dir] = u
	}
	named := regexp.MustCompile("`([a-z]+(?:/[a-z0-9]+)*) ((?:Test|Fuzz)\\w+)((?:/[^/`]+)*)`")
	cases := map[string]int{}
	class := ""
	for i, line := range strings.Split(string(b), "\n") {
		at := fmt.Sprintf("%s:%d", filepath.Base(page), i+1)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			class = name
		}
		tests := named.FindAllStringSubmatch(line, -1)
		for _, x := range tests {
			u := units[x[1]]
			if u == nil {
				t.Errorf("%s: there is no directory %s", at, x[1])
				continue
			}
			for _, missing := range u.missing(x[2], x[3]) {
				t.Errorf("%s: %s has no %s", at, x[1], missing)
			}
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 || len(tests) == 0 || !regexp.MustCompile("^(the same|better|not)").MatchString(cells[3]) {
			t.Errorf("%s: not a case, what it shows, our tests, and the same or better: %s", at, line)
			continue
		}
		if cases[class+"."+cells[0]]++; cases[class+"."+cells[0]] > 1 {
			t.Errorf("%s: %s twice", at, cells[0])
		}
		cases[class]++
		cases[""]++
	}
	// What the source tree of Flume 1.11 has.
	for class, want := range map[string]int{
		"": 192, "TestFileChannelRestart": 44, "TestFileChannel": 19, "TestFileChannelRollback": 3, "TestFileChannelFormatRegression": 3,
		"TestFileChannelEncryption": 14, "TestCheckpoint": 1, "TestCheckpointRebuilder": 1, "TestEventQueueBackingStoreFactory": 14,
		"TestFlumeEventQueue": 21, "TestLog": 19, "TestLogFile": 12, "TestFileChannelErrorMetrics": 7, "TestFileChannelIntegrityTool": 4,
	} {
		if cases[class] != want {
			t.Errorf("%s: %d cases, want %d", class, cases[class], want)
		}
	}
}

// missing are the parts of a test's name that the package does not have: the function, and of /its/subtests each that
// stands nowhere in the package as text, as the name before a verb (backup=%v), or in the JSON of its testdata.
func (u *unit) missing(test, subtests string) (out []string) {
	if !u.hasTest(test) {
		return []string{test}
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(subtests, "/"), "/") {
		key, _, pair := strings.Cut(part, "=")
		if part == "" || pair && u.says(func(text string) bool { return strings.Contains(text, key+"=%v") }) ||
			u.says(func(text string) bool { return strings.ReplaceAll(text, " ", "_") == part }) || u.lists(part) {
			continue
		}
		out = append(out, test+"/"+part)
	}
	return out
}

func (u *unit) hasTest(name string) bool {
	for _, f := range u.tests {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
				return true
			}
		}
	}
	return false
}

// says tells whether a text in the package is right.
func (u *unit) says(right func(text string) bool) (found bool) {
	for _, f := range append(u.tests[:len(u.tests):len(u.tests)], u.files...) {
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				found = found || err == nil && right(text)
			}
			return !found
		})
	}
	return found
}

func (u *unit) lists(name string) bool {
	files, err := filepath.Glob(filepath.Join("../..", u.dir, "testdata/*/*.json"))
	if err != nil {
		return false
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), strconv.Quote(name)) {
			return true
		}
	}
	return false
}

// A name that is wrong in any part is found.
func TestMissingTests(t *testing.T) {
	for _, u := range load(t) {
		if u.dir != "internal/wal" {
			continue
		}
		for _, x := range []struct {
			test, subtests string
			missing        int
		}{
			{"TestGoldenDirectories", "/odd-events", 0},
			{"TestGoldenDirectories", "/even-events", 1},
			{"TestDamage", "/a_put's_body", 0},
			{"TestDamage", "/a_put's_soul/encrypted=true", 1},
			{"TestDamage", "/a_put's_soul/encoded=true", 2},
			{"TestNothing", "/a_put's_body", 1},
			{"FuzzMeta", "", 0},
		} {
			if got := u.missing(x.test, x.subtests); len(got) != x.missing {
				t.Errorf("%s%s: %q", x.test, x.subtests, got)
			}
		}
	}
}
