package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/avro/ocf"
)

// letterBodies lists the bodies in the dead letters of an agent, which has stopped or goes on.
func letterBodies(t *testing.T, a *Agent) string {
	t.Helper()
	var bodies []string
	for _, letter := range readLetters(t, a) {
		bodies = append(bodies, string(letter["body"].([]byte)))
	}
	return strings.Join(bodies, " ")
}

// readLetters reads them with all their fields.
func readLetters(t *testing.T, a *Agent) []map[string]any {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(a.o.DataDir, "deadletter", a.w.name, "*.avro"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var letters []map[string]any
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ocf.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for {
			var letter map[string]any
			if err = r.Decode(&letter); err != nil {
				break
			}
			letters = append(letters, letter)
		}
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		_ = r.Close()
		_ = f.Close()
	}
	return letters
}
