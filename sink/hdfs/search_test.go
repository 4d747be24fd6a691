package hdfs

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Files that somebody has left are found by their names, and closed where nobody writes to them any more.
func TestSearch(t *testing.T) {
	dir, journals := t.TempDir(), t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for name, text := range map[string]string{
		"a/FlumeData.1700000000001.tmp": "1\n2\ntorn", "a/FlumeData.1700000000001": "3\n", "b/FlumeData.1700000000002.tmp": "4\n",
		"b/FlumeData.1700000000003.tmp": "5\n", "b/Other.1.tmp": "x\n", "b/FlumeData.1700000000004.tmp": "torn", "b/FlumeData.1700000000005": "6\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	fresh := filepath.Join(dir, "b/FlumeData.1700000000002.tmp")
	if err := os.Chtimes(fresh, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	j, _, err := openJournal(vfs.OS{}, journals, "a1.k1") // of an agent that runs
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.begin(entry{root: "file://", inUse: filepath.Join(dir, "b/FlumeData.1700000000003.tmp"), final: "/x", measure: lines}); err != nil {
		t.Fatal(err)
	}
	plan, problems := Kind.Bind(flumetest.Section(t, "hdfs.path = file://"+dir+"/%{b}", textFiles, "hdfs.journalDir = "+journals))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	look := func(adopt bool) (fates []string) {
		err := plan.Settings.(*Settings).Orphans(t.Context(), slog.New(slog.DiscardHandler), adopt, time.Hour, func(file string, _ int64, _ time.Time, fate string) {
			fates = append(fates, strings.ReplaceAll(fmt.Sprint(file, ": ", fate), "file://"+dir+"/", ""))
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(fates)
		return fates
	}
	want := []string{
		"a/FlumeData.1700000000001.tmp: left open", "b/FlumeData.1700000000002.tmp: it may still be written to",
		"b/FlumeData.1700000000003.tmp: an agent of this machine has it open", "b/FlumeData.1700000000004.tmp: left open",
	}
	if got := look(false); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	want[0] = "a/FlumeData.1700000000001.tmp: closed: a/FlumeData.1700000000002" // its name was taken
	want[3] = "b/FlumeData.1700000000004.tmp: removed: there is no whole record in it"
	if got := look(true); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a/FlumeData.1700000000002")); string(text) != "1\n2\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := j.release(); err != nil {
		t.Error(err)
	}
}
