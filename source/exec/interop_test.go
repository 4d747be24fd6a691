//go:build interop

package exec

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flumetest"
)

// The same command in real Flume and here: the same bodies. PEERS is the program that runs it (peers flume probe-source
// …), EXEC_CASES how many commands are made up, EXEC_SEED where to begin.
func TestFlumeSame(t *testing.T) {
	peers := os.Getenv("PEERS")
	if peers == "" {
		t.Fatal("PEERS does not name the program that runs real Flume")
	}
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	seed := number("EXEC_SEED", 1)
	t.Logf("EXEC_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{"a", "bc ", "\n", "\r\n", "\r", "\xe9", "é", "\xff", "\x00", "😀", "\xed\xa0\x80", "\n\n", "\t", "\xf0\x9f", "zzzz"}
	for n := range number("EXEC_CASES", 6) {
		var text strings.Builder
		for range r.IntN(2000) {
			text.WriteString(pieces[r.IntN(len(pieces))])
		}
		file := filepath.Join(t.TempDir(), "text")
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		settings := []string{"command=cat " + file, "charset=" + []string{"UTF-8", "ISO-8859-1", "US-ASCII", "UTF-16", "UTF-16BE", "UTF-16LE"}[n%6]}
		theirs := probe(t, peers, settings)
		s := flumetest.Open(t, Kind, settings...)
		var in flumetest.Inbox
		if err := s.Run(t.Context(), in.Emit); err != nil {
			t.Error(err)
		}
		_ = s.Close() // it has nothing to say
		var ours []string
		for _, b := range in.Batches() {
			for _, e := range b {
				ours = append(ours, fmt.Sprintf("%v | %s", "{}", printable(e.Body)))
			}
		}
		if a, b := strings.Join(ours, "\n"), strings.Join(theirs, "\n"); a != b {
			t.Errorf("%v of %q:\n%s\nbut Flume has\n%s", settings, text.String(), a, b)
		}
	}
}

// probe returns the events of real Flume, as it prints them.
func probe(t *testing.T, peers string, settings []string) (events []string) {
	t.Helper()
	out, err := exec.Command(peers, append([]string{"flume", "probe-source", "--seconds=3", "org.apache.flume.source.ExecSource"}, settings...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if event, ok := strings.CutPrefix(lines.Text(), "EVENT "); ok {
			events = append(events, event)
		}
	}
	return events
}

// printable is a body as the probe prints it.
func printable(body []byte) string {
	var s strings.Builder
	for _, b := range body {
		if b >= 32 && b < 127 && b != '\\' {
			s.WriteByte(b)
		} else {
			fmt.Fprintf(&s, "\\x%02x", b)
		}
		if s.Len() > 2000 {
			return fmt.Sprintf("%s... (%d bytes)", s.String(), len(body))
		}
	}
	return s.String()
}
