//go:build interop

package javatime

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/answers.txt.gz")

// The answers in testdata are what Joda-Time says today. Needs the peers, among whose jars Flume's Joda-Time is.
func TestAnswersOfJoda(t *testing.T) {
	var in bytes.Buffer
	for _, q := range questions() {
		fmt.Fprintf(&in, "%x %x %x\n", q.pattern, q.zone, q.text)
	}
	java := exec.Command("../../test/peers/peers", "java", "flume", "testdata/Joda.java")
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
	old, now := bytes.Split(answers(t), []byte("\n")), bytes.Split(got, []byte("\n"))
	for i := range min(len(old), len(now)) {
		if !bytes.Equal(old[i], now[i]) {
			t.Fatalf("line %d is %s instead of %s", i+1, now[i], old[i])
		}
	}
	if len(old) != len(now) {
		t.Fatalf("%d lines instead of %d", len(now), len(old))
	}
}
