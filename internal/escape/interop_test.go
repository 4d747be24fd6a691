//go:build interop

package escape

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/flume.txt")

// The answers in testdata are what Flume's own class says today. Needs the peers.
func TestAnswersOfFlume(t *testing.T) {
	java := exec.Command("../../test/peers/peers", "java", "flume", "testdata/Bucket.java")
	java.Stdin, java.Stderr = strings.NewReader(strings.Join(questions(), "\n")+"\n"), os.Stderr
	got, err := java.Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("Flume's answers are others than those in " + golden)
	}
}
