package demo

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Only addresses and directories are changed.
func TestWriteFiles(t *testing.T) {
	dir := t.TempDir()
	a, b, err := writeFiles(dir, []string{"k1:1", "k2:2"}, 5555)
	if err != nil {
		t.Fatal(err)
	}
	for file, was := range map[string]string{a: textA, b: textB} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, after := strings.Split(was, "\n"), strings.Split(string(text), "\n")
		if len(before) != len(after) {
			t.Fatalf("%s has %d lines, not %d", file, len(after), len(before))
		}
		for i := range before {
			key, value, _ := strings.Cut(after[i], "=")
			wasKey, _, _ := strings.Cut(before[i], "=")
			if key != wasKey {
				t.Errorf("line %d has the key %s, not %s", i+1, key, wasKey)
			}
			want := ""
			switch {
			case before[i] == after[i]:
				continue
			case strings.Contains(key, "bootstrap.servers"), strings.Contains(key, "brokerList"):
				want = "k1:1,k2:2"
			case strings.HasSuffix(strings.TrimSpace(key), "port"):
				want = "5555"
			case strings.HasSuffix(strings.TrimSpace(key), "Dir"), strings.HasSuffix(key, "Dirs"):
				if !strings.HasPrefix(value, dir+"/") {
					t.Errorf("line %d: %s", i+1, after[i])
				}
				continue
			}
			if strings.TrimSpace(value) != want {
				t.Errorf("line %d: %s, want %s", i+1, after[i], want)
			}
		}
	}
}

func TestCount(t *testing.T) {
	f := flow{run: "r", seen: make([]bool, 3)}
	body := func(run string, n int) []byte { return fmt.Appendf(nil, "%s %08d xxx", run, n) }
	if !f.count([][]byte{body("r", 0), body("r", 2)}) {
		t.Error("two new events are not new")
	}
	if f.count([][]byte{body("r", 2), body("other", 1), []byte("r 1"), []byte("r abcdefgh"), body("r", 7), nil}) {
		t.Error("something else is taken as new")
	}
	if f.out != 2 || f.twice != 1 {
		t.Errorf("out %d, twice %d", f.out, f.twice)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
	r := Result{In: 1000, Out: 999, Lost: 1, Duplicates: 2}
	if got := r.String(); got != "in 1,000, out 999, lost 1, duplicates 2" {
		t.Error(got)
	}
}
