//go:build interop

package javaregex

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/answers.json.gz")

// The answers in testdata are what Java says today. Needs java 17.
func TestAnswersOfJava(t *testing.T) {
	var in bytes.Buffer
	for _, q := range questions() {
		fmt.Fprintf(&in, "%s %s %s\n", hex.EncodeToString([]byte(q.pattern)), hex.EncodeToString([]byte(q.text)), hex.EncodeToString([]byte(q.replacement)))
	}
	for _, s := range sets() {
		fmt.Fprintf(&in, "c %s\n", hex.EncodeToString([]byte(s)))
	}
	for _, b := range sequences() {
		fmt.Fprintf(&in, "d %x\n", b)
	}
	java := exec.Command("java", "testdata/Answers.java")
	java.Stdin, java.Stderr = &in, os.Stderr
	got, err := java.Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		var out bytes.Buffer
		z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := z.Write(got); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	old, now := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
	for i := range min(len(old), len(now)) {
		if !bytes.Equal(old[i], now[i]) {
			t.Fatalf("line %d of %d is\n%s instead of\n%s", i+1, len(now), now[i], old[i])
		}
	}
	t.Fatalf("%d lines instead of %d", len(now), len(old))
}
