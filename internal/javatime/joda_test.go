package javatime

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const golden = "testdata/answers.txt.gz"

// today is that of testdata/Joda.java.
func today() time.Time { return time.UnixMilli(1795000000000) }

func answers(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func unhex(t *testing.T, s []byte) string {
	t.Helper()
	b, err := hex.DecodeString(string(s))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	if name == "+03:00" {
		return time.FixedZone(name, 3*3600)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// The answers are to the questions, in their order.
func TestQuestions(t *testing.T) {
	lines := bytes.Split(bytes.TrimRight(answers(t), "\n"), []byte("\n"))
	all := questions()
	if len(lines) != len(all) {
		t.Fatalf("%d answers to %d questions", len(lines), len(all))
	}
	for i, q := range all {
		if want := fmt.Sprintf("%x %x %x ", q.pattern, q.zone, q.text); !bytes.HasPrefix(lines[i], []byte(want)) {
			t.Fatalf("answer %d is not to %q", i, q)
		}
	}
}

// Every case of testdata/answers.txt.gz is read as Joda-Time does.
func TestJoda(t *testing.T) {
	n, read := 0, 0
	for line := range bytes.Lines(answers(t)) {
		f := bytes.Split(bytes.TrimRight(line, "\r\n"), []byte(" "))
		pattern, zone, text, want := unhex(t, f[0]), unhex(t, f[1]), unhex(t, f[2]), string(f[3])
		n++
		l, err := Joda(pattern, location(t, zone), today())
		if err != nil {
			if want != "pattern" && !strings.ContainsAny(pattern, "GC") && pattern != "zzzz" {
				t.Errorf("%q: %v", pattern, err)
			}
			continue
		}
		if want == "pattern" {
			t.Errorf("the pattern %q is taken", pattern)
			continue
		}
		millis, err := l.Millis([]byte(text))
		if want == "text" && err == nil && strings.Contains(pattern, "ZZZ") && strings.Contains(text, "/") {
			continue // Joda takes a / that comes later for one of the zone's name
		}
		got := "text"
		if err == nil {
			got = strconv.FormatInt(millis, 10)
			read++
		}
		if got != want {
			t.Errorf("%q in %s: %q is %s instead of %s; %v", pattern, zone, text, got, want, err)
		}
	}
	if n < 2000 || read < n/4 {
		t.Errorf("%d cases, of which %d are a time", n, read)
	}
	t.Logf("%d cases, of which %d are a time", n, read)
}
