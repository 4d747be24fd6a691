package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMiddle(t *testing.T) {
	for _, x := range []struct {
		in   []float64
		want string
	}{
		{nil, "0 (0–0)"},
		{[]float64{3}, "3 (3–3)"},
		{[]float64{9, 1, 5}, "5 (1–9)"},
		{[]float64{4, 1, 2, 9}, "3 (1–9)"},
	} {
		if got := middleOf(x.in).text(0); got != x.want {
			t.Errorf("%v: %s, want %s", x.in, got, x.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var all []time.Duration
	if got := quantile(all, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 100 {
		all = append(all, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := quantile(all, q); got != want {
			t.Errorf("%v: %v ms, want %v", q, got, want)
		}
	}
}

// Only an OK counts as one.
func TestAnswer(t *testing.T) {
	frame := func(buffers ...string) string {
		b := []byte{0, 0, 0, 7, 0, 0, 0, byte(len(buffers))}
		for _, p := range buffers {
			b = append(append(b, 0, 0, 0, byte(len(p))), p...)
		}
		return string(b)
	}
	for _, x := range []struct {
		name, in string
		plain    bool
		good     bool
	}{
		{"OK", frame("\x00\x00\x00"), true, true},
		{"OK in pieces, as Flume has it", frame("", "\x00\x00", "\x00"), true, true},
		{"OK behind a handshake", frame("shake", "\x00\x00\x00"), false, true},
		{"a handshake where none belongs", frame("shake", "\x00\x00\x00"), true, false},
		{"FAILED", frame("\x00\x00\x02"), true, false},
		{"an error", frame("\x00\x01\x00\x04no"), true, false},
		{"cut off", frame("\x00\x00\x00")[:10], true, false},
	} {
		if err := answer(bufio.NewReader(strings.NewReader(x.in)), x.plain); (err == nil) != x.good {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// A worker takes what it has put, and what an earlier one has left.
func TestWorker(t *testing.T) {
	dir := t.TempDir()
	settings := []string{dir, "capacity=10000", "minimumRequiredSpace=1048576"}
	var out bytes.Buffer
	if err := work(t.Context(), settings, strings.NewReader("put 3 10 50 60 90\n"), &out); err != nil {
		t.Fatal(err)
	}
	var put, taken turn
	if _, err := fmt.Sscanf(out.String(), "SERVING\nevents=%d seconds=%f cpu=%f", &put.events, &put.seconds, &put.cpu); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if put.events < 90 || put.events > 120 {
		t.Errorf("%d events were put, not some 90", put.events)
	}
	out.Reset()
	if err := work(t.Context(), settings, strings.NewReader("take 7 2\n"), &out); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(out.String(), "SERVING\nevents=%d seconds=%f cpu=%f", &taken.events, &taken.seconds, &taken.cpu); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if taken.events != put.events {
		t.Errorf("%d events were taken of %d", taken.events, put.events)
	}
}

// The bare loops write what they say.
func TestBareLoops(t *testing.T) {
	dir := t.TempDir()
	ahead, plain, err := bareLoops(dir, 5000)
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*bareLoop{"ahead": ahead, "plain": plain} {
		safe, took, err := l.run(time.Millisecond)
		if err != nil || safe == 0 || safe%5000 != 0 || took < time.Millisecond {
			t.Errorf("%s: %d bytes in %v, %v", name, safe, took, err)
		}
		if err := l.f.Close(); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(filepath.Join(dir, "bare-"+name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "plain" && info.Size() != safe || name == "ahead" && info.Size() < max(safe, 1<<20) {
			t.Errorf("%s: the file has %d bytes of %d", name, info.Size(), safe)
		}
	}
	if err := chill(dir); err != nil {
		t.Error(err)
	}
	read, _, err := readAll(dir)
	if _, all, _ := files(dir); err != nil || read != all {
		t.Errorf("%d bytes were read of %d, %v", read, all, err)
	}
}

// What one batch takes in the log grows by what its bodies grow.
func TestLogged(t *testing.T) {
	dir := t.TempDir()
	small, err := logged(t.Context(), filepath.Join(dir, "a"), sample(10, 100))
	if err != nil {
		t.Fatal(err)
	}
	large, err := logged(t.Context(), filepath.Join(dir, "b"), sample(10, 120))
	if err != nil {
		t.Fatal(err)
	}
	if large-small != 200 || small < 1500 || small > 2500 {
		t.Errorf("%d and %d bytes", small, large)
	}
}
