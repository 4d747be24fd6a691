package fileroll

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

func TestLaws(t *testing.T) {
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind, "sink.directory = "+t.TempDir()) })
}

const dir = "/out"

// memory is a file system with the directory.
func memory(t testing.TB) *vfs.Memory {
	t.Helper()
	m := vfs.NewMemory()
	if err := m.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	return m
}

// openIn opens a sink on a file system.
func openIn(t testing.TB, fs vfs.FS, env *flumetest.Env, settings ...string) *sink {
	t.Helper()
	plan, problems := Kind.Bind(flumetest.Section(t, append([]string{"sink.directory = " + dir}, settings...)...))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	k, err := openOn(fs, plan.Settings.(*Settings), env.Env)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func deliver(t testing.TB, s flume.Sink, b flume.Batch) {
	t.Helper()
	if err := s.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// files are those that users see, by name.
func files(t testing.TB, fs vfs.FS) (names []string, contents []string) {
	t.Helper()
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, ".") {
			continue
		}
		f, err := fs.Open(filepath.Join(dir, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(f, 0, e.Size))
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		names, contents = append(names, e.Name), append(contents, string(text))
	}
	return names, contents
}

func hidden(t testing.TB, fs vfs.FS) (names []string) {
	t.Helper()
	entries, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, ".") {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestRolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // at midnight UTC of 2000-01-01
		m, env := memory(t), flumetest.NewEnv()
		k := openIn(t, m, env, "sink.rollInterval = 10")
		time.Sleep(25 * time.Second) // no event, no file
		deliver(t, k, flumetest.Events(0, 2))
		time.Sleep(4 * time.Second)
		deliver(t, k, flumetest.Events(2, 2))
		time.Sleep(2 * time.Second) // past 30 s
		k.mu.Lock()
		if k.file != nil {
			t.Error("the file is open after its interval")
		}
		k.mu.Unlock()
		deliver(t, k, flumetest.Events(4, 1))
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		names, contents := files(t, m)
		want := []string{"0\n1\n2\n3\n", "4\n"}
		if ms := fmt.Sprint(time.Now().Add(-31 * time.Second).UnixMilli()); !slices.Equal(names, []string{ms + "-1", ms + "-2"}) || !slices.Equal(contents, want) {
			t.Errorf("%q have %q", names, contents)
		}
		if left := hidden(t, m); left != nil {
			t.Errorf("after Close there are %q", left)
		}
		if c, d := env.Count("ConnectionCreatedCount"), env.Count("ConnectionClosedCount"); c != 2 || d != 2 {
			t.Errorf("%d files made, %d closed", c, d)
		}
	})
}

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, x := range []struct {
			settings []string
			want     []string
		}{
			{[]string{"sink.pathManager = default", "sink.pathManager.prefix = p.", "sink.pathManager.extension = log"},
				[]string{"p.946684800000-1.log", "p.946684800000-2.log", "p.946684800000-3.log"}},
			{[]string{"sink.pathManager = rolltime"}, []string{"20000101000000-1", "20000101000000-2", "20000101000001-1"}},
			{[]string{"sink.pathManager = org.apache.flume.formatter.output.RollTimePathManager$Builder", "sink.pathManager.prefix = a"},
				[]string{"a20000101000000-1", "a20000101000000-2", "a20000101000001-1"}},
		} {
			plan, problems := Kind.Bind(flumetest.Section(t, append(x.settings, "sink.directory = x")...))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			now := time.Date(2000, 1, 1, 0, 0, 0, 999e6, time.Local)
			n := names{settings: plan.Settings.(*Settings), began: 946684800000}
			got := []string{n.next(now), n.next(now), n.next(now.Add(time.Millisecond))}
			if !slices.Equal(got, x.want) {
				t.Errorf("%q: %q", x.settings, got)
			}
		}
	})
}

func TestNeverRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory(t)
		k := openIn(t, m, flumetest.NewEnv(), "sink.rollInterval = 0")
		for i := range 3 {
			deliver(t, k, flumetest.Events(i, 1))
			time.Sleep(time.Hour)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if _, contents := files(t, m); !slices.Equal(contents, []string{"0\n1\n2\n"}) {
			t.Errorf("%q", contents)
		}
	})
}

// A name that is taken is left alone.
func TestTakenName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory(t)
		taken := fmt.Sprintf("%s/%d-1", dir, time.Now().UnixMilli())
		f, err := m.Create(taken)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("other"), 0); err != nil {
			t.Fatal(err)
		}
		k := openIn(t, m, flumetest.NewEnv())
		deliver(t, k, flumetest.Events(0, 1))
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if _, contents := files(t, m); !slices.Equal(contents, []string{"other", "0\n"}) {
			t.Errorf("%q", contents)
		}
	})
}

// What cannot be written is not there, and comes when it can: nothing twice, nothing torn.
func TestFaults(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := memory(t)
		faulty := true
		m.Before = func(op vfs.Op) error {
			if faulty && r.IntN(6) == 0 {
				return fmt.Errorf("%s of %s fails", op.Kind, op.Path)
			}
			return nil
		}
		settings := []string{"sink.rollInterval = 0"}
		if seed%2 == 0 {
			settings = append(settings, "sink.serializer = AVRO_EVENT")
		}
		faulty = false
		k := openIn(t, m, flumetest.NewEnv(), settings...)
		faulty = true
		failures := 0
		for at := 0; at < 60; {
			n := 1 + r.IntN(5)
			err := k.Deliver(t.Context(), flumetest.Events(at, n))
			partial := new(flume.PartialError)
			if errors.As(err, &partial) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err != nil {
				failures++
				continue
			}
			at += n
		}
		faulty = false
		if err := k.Close(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		_, contents := files(t, m)
		var got []string
		for _, c := range contents {
			if c == "" {
				continue // removing one that could not be begun has failed
			}
			if seed%2 == 0 {
				got = append(got, avroBodies(t, c)...)
			} else {
				got = append(got, strings.Split(strings.TrimSuffix(c, "\n"), "\n")...)
			}
		}
		if len(got) < 60 || !slices.Equal(got, flumetest.Bodies(flumetest.Events(0, len(got)))) {
			t.Fatalf("seed %d, %d failures: %q", seed, failures, got)
		}
	}
}

// avroBodies takes a container apart by its sync marker, which every block must end with.
func avroBodies(t testing.TB, file string) (bodies []string) {
	t.Helper()
	const head = 185 // Flume's, with the marker
	if len(file) < head {
		t.Fatalf("a file has %d bytes", len(file))
	}
	mark := file[head-16 : head]
	for rest := file[head:]; rest != ""; {
		block, after, ok := strings.Cut(rest, mark)
		if !ok {
			t.Fatal("the last block has no sync marker")
		}
		rest = after
		events, data := int(block[0]/2), block[2:] // small numbers
		if block[1]/2 != byte(len(data)) && len(data) < 64 {
			t.Fatalf("%d bytes are said to be %d", len(data), block[1]/2)
		}
		for range events {
			_, value, ok := strings.Cut(data, "\x02n")
			if !ok {
				t.Fatalf("%q is no event", data)
			}
			value = value[1+value[0]/2+1:] // the number as a header, and the end of the headers
			n := value[0] / 2
			bodies = append(bodies, value[1:1+n])
			data = value[1+n:]
		}
	}
	return bodies
}

// Whenever the power goes or the process is killed: after the next start there are the batches that were delivered, at
// most one more, and no part of one.
func TestPowerLoss(t *testing.T) {
	cuts := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := memory(t)
		type crash struct {
			fs               *vfs.Memory
			delivered, begun int
			what             string
		}
		var crashes []crash
		var delivered, begun int
		m.After = func(op vfs.Op) {
			what := fmt.Sprintf("seed %d, after %s of %s", seed, op.Kind, op.Path)
			crashes = append(crashes, crash{m.Crash(r), delivered, begun, what}, crash{m.Clone(), delivered, begun, what + ", killed"})
		}
		k := openIn(t, m, flumetest.NewEnv(), "sink.rollInterval = 0")
		for at := 0; at < 12; {
			n := 1 + r.IntN(4)
			begun = at + n
			deliver(t, k, padded(at, n))
			at += n
			delivered = at
			if r.IntN(4) == 0 {
				k.mu.Lock()
				k.finish()
				k.mu.Unlock()
			}
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		for _, c := range crashes {
			env := flumetest.NewEnv()
			again := openIn(t, c.fs, env)
			_, contents := files(t, c.fs)
			text := strings.Join(contents, "")
			lines := strings.SplitAfter(text, "\n")
			lines = lines[:len(lines)-1]
			if !strings.HasSuffix(text, "\n") && text != "" {
				t.Fatalf("%s: %q is torn", c.what, text)
			}
			if len(lines) != c.delivered && len(lines) != c.begun {
				t.Fatalf("%s: %d events of %d delivered, %d begun\n%s", c.what, len(lines), c.delivered, c.begun, env.Logged())
			}
			for i, line := range lines {
				if line != string(padded(i, 1)[0].Body)+"\n" {
					t.Fatalf("%s: event %d is %q", c.what, i, line)
				}
			}
			if strings.Contains(env.Logged(), "cut off") {
				cuts++
			}
			deliver(t, again, flumetest.Events(0, 1))
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cuts == 0 {
		t.Error("no file had to be cut")
	}
}

// padded are events of different lengths, some larger than a page of the disk.
func padded(first, n int) flume.Batch {
	b := flumetest.Events(first, n)
	for i := range b {
		b[i].Body = append(b[i].Body, bytes.Repeat([]byte("x"), (first+i)*97%1500)...)
	}
	return b
}

// An event of another schema begins a new file; one that fits none is rejected, and the rest goes on.
func TestSchemas(t *testing.T) {
	m := memory(t)
	k := openIn(t, m, flumetest.NewEnv(), "sink.serializer = AVRO")
	event := func(schema, body string) flume.Event {
		return flume.Event{Headers: flume.Headers{{Key: "flume.avro.schema.literal", Value: schema}}, Body: []byte(body)}
	}
	b := flume.Batch{event(`"int"`, "\x02"), event(`"int"`, "\x04"), event(`"int"`, "xx"), {Body: []byte("x")}, event(`"null"`, ""), event(`"int"`, "\x06")}
	err := k.Deliver(t.Context(), b)
	partial := new(flume.PartialError)
	if !errors.As(err, &partial) || len(partial.Pending) != 0 || len(partial.Rejected) != 2 || partial.Rejected[0].Index != 2 || partial.Rejected[1].Index != 3 {
		t.Fatalf("%+v", err)
	}
	b[3] = flume.Event{Headers: flume.Headers{{Key: "flume.avro.schema.url", Value: "file:///nowhere"}}}
	err = k.Deliver(t.Context(), b)
	if !errors.As(err, &partial) || fmt.Sprint(partial.Pending) != "[3 4 5]" || len(partial.Rejected) != 1 || !partial.InOrder || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%+v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := files(t, m); len(names) != 3 { // the last event goes on with the last file
		t.Errorf("%d files", len(names))
	}
}

func TestOpen(t *testing.T) {
	m := memory(t)
	k := openIn(t, m, flumetest.NewEnv())
	locked := new(vfs.LockedError)
	if _, err := openOn(m, k.settings, flumetest.NewEnv().Env); !errors.As(err, &locked) {
		t.Errorf("a second sink of that name: %v", err)
	}
	other := flumetest.NewEnv()
	other.Name = "x/2"
	second, err := openOn(m, k.settings, other.Env)
	if err != nil {
		t.Fatal(err)
	}
	if got := hidden(t, m); !slices.Contains(got, ".file_roll.a1.x1.open") || !slices.Contains(got, ".file_roll.a1.x_2.open") {
		t.Errorf("%q", got)
	}
	if err := errors.Join(k.Close(), second.Close()); err != nil {
		t.Error(err)
	}
	if _, err := flumetest.TryOpen(t, flumetest.NewEnv(), Kind, "sink.directory = "+t.TempDir()+"/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestSettings(t *testing.T) {
	plan, problems := Kind.Bind(flumetest.Section(t, "sink.directory = /d"))
	s := plan.Settings.(*Settings)
	if len(problems) > 0 || s.Interval != 30*time.Second || s.BatchSize != 100 || s.PathManager != "DEFAULT" || s.Serializer.Name != "TEXT" || plan.Limits.BatchSizeKey != "sink.batchSize" {
		t.Errorf("%+v %v", s, problems)
	}
	for _, x := range []struct{ line, want string }{
		{"sink.pathManager = com.acme.Mine$Builder", "neither DEFAULT nor ROLLTIME"},
		{"sink.pathManager.prefix = a/b", "cannot be a part of the name"},
		{"sink.pathManager.extension = " + strings.Repeat("x", 250), "200 is the most"},
		{"sink.batchSize = 0", "0 is less than 1"},
		{"sink.serializer = nothing", "is not a serializer"},
		{"sink.serializer.compressionCodec = snappy", "sink.serializer.compressionCodec: has no effect with the serializer TEXT"},
	} {
		if got := fmt.Sprint(flumetest.Problems(t, Kind, nil, "sink.directory = /d", x.line)); !strings.Contains(got, x.want) {
			t.Errorf("%s: %s", x.line, got)
		}
	}
	if got := flumetest.Problems(t, Kind, nil); !got.Fatal() {
		t.Error("sink.directory is not required")
	}
}

// Whatever a note holds, it is read without a fault; what was written is read.
func FuzzNote(f *testing.F) {
	f.Add([]byte(noted{3, 17, `a "b"`}.text()), []byte{})
	f.Add([]byte("file_roll 1 -1 00000000 \"\""), []byte(noted{4, 0, ""}.text()))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		m := memory(t)
		n, err := m.Create(dir + "/note")
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range [][]byte{first, second} {
			if _, err := n.WriteAt(text[:min(len(text), place)], int64(i)*place); err != nil {
				t.Fatal(err)
			}
		}
		got, err := readNote(m, dir+"/note")
		if err != nil || got.length < 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if got.serial == 1<<64-1 {
			return
		}
		open, err := openNote(m, dir+"/note", got.serial)
		if err != nil {
			t.Fatal(err)
		}
		if err := open.write("a name", 42); err != nil {
			t.Fatal(err)
		}
		if again, err := readNote(m, dir+"/note"); err != nil || again != (noted{got.serial + 2, 42, "a name"}) {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

func BenchmarkDeliver(b *testing.B) {
	k := flumetest.Open(b, Kind, "sink.directory = "+b.TempDir())
	batch := make(flume.Batch, 1000)
	for i := range batch {
		batch[i].Body = bytes.Repeat([]byte("x"), 500)
	}
	b.SetBytes(int64(batch.Size()))
	for b.Loop() {
		deliver(b, k, batch)
	}
}
