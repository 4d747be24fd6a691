package deadletter

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/avro/ocf"

	"github.com/sluice-io/sluice/flume"
)

type letter struct {
	Headers    map[string]string `avro:"headers"`
	Body       []byte            `avro:"body"`
	Reason     string            `avro:"reason"`
	Component  string            `avro:"component"`
	Agent      string            `avro:"agent"`
	Time       time.Time         `avro:"time"`
	Position   string            `avro:"position"`
	RawHeaders *[]header         `avro:"rawHeaders"`
	Attempt    int64             `avro:"attempt"`
	ID         string            `avro:"id"`
}

type header struct {
	Key   []byte `avro:"key"`
	Value []byte `avro:"value"`
}

// files lists dir, which need not be there.
func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.avro"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// read reads all files in dir with a foreign reader. The last error is what follows the last whole letter.
func read(t *testing.T, dir string) (all []letter, last error) {
	t.Helper()
	for _, name := range files(t, dir) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ocf.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for {
			var l letter
			if last = r.Decode(&l); last != nil {
				break
			}
			all = append(all, l)
		}
		_ = r.Close()
		_ = f.Close()
	}
	return all, last
}

func reject(body string, headers ...string) flume.Rejection {
	r := flume.Rejection{Event: flume.Event{Body: []byte(body)}, Err: errors.New("it is " + body), Position: "t-0@7"}
	for i := 0; i < len(headers); i += 2 {
		r.Event.Headers.Set(headers[i], headers[i+1])
	}
	return r
}

func TestAForeignReaderReadsEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deadletter", "a1")
	l := New(dir, "a1", 1<<20)
	before := time.Now().Truncate(time.Millisecond)
	if err := l.Write("a1.sources.s1", reject("bad", "topic", "test3", "key", "k\xff\x00"), reject("worse")); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("a1.sinks.k1", flume.Rejection{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, dir)
	if !errors.Is(err, io.EOF) || len(got) != 3 {
		t.Fatalf("%d letters, then %v", len(got), err)
	}
	first := got[0]
	if first.Headers["topic"] != "test3" || first.Headers["key"] != "k\uFFFD\x00" {
		t.Errorf("headers %q", first.Headers)
	}
	if first.RawHeaders == nil || len(*first.RawHeaders) != 2 || string((*first.RawHeaders)[1].Value) != "k\xff\x00" {
		t.Errorf("raw headers %v", first.RawHeaders)
	}
	if string(first.Body) != "bad" || first.Reason != "it is bad" || first.Component != "a1.sources.s1" ||
		first.Agent != "a1" || first.Position != "t-0@7" {
		t.Errorf("got %+v", first)
	}
	if first.Time.Before(before) || first.Time.After(time.Now()) {
		t.Errorf("rejected at %v", first.Time)
	}
	if got[1].RawHeaders != nil || len(got[1].Headers) != 0 || string(got[1].Body) != "worse" {
		t.Errorf("got %+v", got[1])
	}
	if got[2].Reason == "" {
		t.Error("a letter without a reason")
	}
}

func TestNothingIsMadeBeforeTheFirstLetter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a1")
	l := New(dir, "a1", 1<<20)
	if err := l.Write("x"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}

func TestAFullDirectoryTakesNothingUntilSomebodyMakesRoom(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 4000)
	n := 0
	var err error
	for ; err == nil && n < 100; n++ {
		err = l.Write("a1.sources.s1", reject(strings.Repeat("x", 500)))
	}
	n--
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "-Dsluice.deadletter.bytes") {
		t.Fatalf("after %d letters: %v", n, err)
	}
	if total, _ := usage(dir); total > 4000 {
		t.Errorf("%d bytes on disk", total)
	}
	if got, _ := read(t, dir); len(got) != n || n == 0 {
		t.Fatalf("%d letters of %d", len(got), n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files(t, dir)[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("a1.sources.s1", reject("x")); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALetterLargerThanTheBoundIsNamedAsSuch(t *testing.T) {
	l := New(t.TempDir(), "a1", 4000)
	err := l.Write("a1.sources.s1", reject(strings.Repeat("x", 5000)))
	if err == nil || !strings.Contains(err.Error(), "more than the dead letters may ever have, 4000") || strings.Contains(err.Error(), "move files away") {
		t.Errorf("an empty directory says: %v", err)
	}
	if err := l.Write("a1.sources.s1", reject("x")); err != nil {
		t.Errorf("what fits is taken: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatOthersHaveWrittenCounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old.avro"), make([]byte, 4000), 0o644); err != nil {
		t.Fatal(err)
	}
	l := New(dir, "a1", 4000)
	if err := l.Write("x", reject("x")); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files; an empty one was left behind", n)
	}
}

func TestFullLettersLeaveNoEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "old"+suffix), make([]byte, 60_000), 0o644); err != nil {
			t.Fatal(err)
		}
		l := New(dir, "a1", 100_000)
		for range 24 {
			if err := l.Write("x", reject(strings.Repeat("x", 30_000))); !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			time.Sleep(fileAge + time.Second)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := len(files(t, dir)) - 1; n > 0 {
		t.Errorf("%d files without a letter", n)
	}
}

func TestFilesEndBySizeAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := New(dir, "a1", 1<<30)
		write := func(n int) {
			t.Helper()
			if err := l.Write("x", reject(strings.Repeat("x", n))); err != nil {
				t.Fatal(err)
			}
		}
		write(10)
		write(10)
		if n := len(files(t, dir)); n != 1 {
			t.Fatalf("%d files", n)
		}
		time.Sleep(time.Hour)
		write(17 << 20)
		write(10) // in the same millisecond
		if n := len(files(t, dir)); n != 3 {
			t.Fatalf("%d files", n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, dir); len(got) != 4 || !errors.Is(err, io.EOF) {
			t.Errorf("%d letters, then %v", len(got), err)
		}
	})
}

func TestManyLettersAreManyBlocks(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 1<<30)
	many := make([]flume.Rejection, 1000)
	for i := range many {
		many[i] = reject(strings.Repeat("x", 10000))
	}
	if err := l.Write("x", many...); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(files(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ocf.NewReader(f, ocf.WithMaxBlockBytes(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := range many {
		var got letter
		if err := r.Decode(&got); err != nil {
			t.Fatalf("letter %d: %v", n, err)
		}
	}
}

func TestATornFileIsReadableUpToItsLastWholeBlock(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 1<<20)
	for _, body := range []string{"one", "two", "three"} {
		if err := l.Write("x", reject(body)); err != nil {
			t.Fatal(err)
		}
	}
	name := files(t, dir)[0]
	if err := os.Truncate(name, l.size-5); err != nil { // as a crash in the middle of the third write would leave it
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dir); len(got) != 2 || errors.Is(err, io.EOF) {
		t.Errorf("%d letters, then %v", len(got), err)
	}
	l = New(dir, "a1", 1<<20) // the next run does not touch it
	if err := l.Write("x", reject("four")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, dir); len(got) != 3 || !errors.Is(err, io.EOF) {
		t.Errorf("%d letters, then %v", len(got), err)
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 1<<20)
	if err := l.Write("x", reject("one")); err != nil {
		t.Fatal(err)
	}
	whole := l.file
	readOnly, err := os.Open(whole.Name())
	if err != nil {
		t.Fatal(err)
	}
	l.file = readOnly // as a disk that takes no more
	if err := l.Write("x", reject("two")); err == nil || !strings.Contains(err.Error(), whole.Name()) {
		t.Fatalf("got %v", err)
	}
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("x", reject("three")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, dir)
	if len(got) != 2 || string(got[1].Body) != "three" {
		t.Errorf("got %d letters", len(got))
	}
	if len(files(t, dir)) != 2 {
		t.Error("the broken file is written on")
	}
}

func TestNoDirectory(t *testing.T) {
	l := New("", "a1", 1<<20)
	if err := l.Write("x", reject("one")); err == nil {
		t.Error("written nowhere")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l = New(filepath.Join(file, "a1"), "a1", 1<<20)
	if err := l.Write("x", reject("one")); err == nil {
		t.Error("written into a file as if it were a directory")
	}
}
