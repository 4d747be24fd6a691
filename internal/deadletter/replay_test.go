package deadletter

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SLUICE_TEST_KILLED"); dir != "" {
		killed(dir, os.Getenv("SLUICE_TEST_WHEN"))
		return
	}
	goleak.VerifyTestMain(m)
}

// keep writes a letter for each word, all in one file, and closes it.
func keep(t *testing.T, dir, words string) {
	t.Helper()
	l := New(dir, "a1", 1<<30)
	for word := range strings.FieldsSeq(words) {
		if err := l.Write("a1.sinks.k1", reject(word, "word", word)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// left lists the letters of dir; a question mark follows those of which nobody knows.
func left(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	troubles, err := Each(dir, &Filter{}, func(l *Letter, tried bool) error {
		word := string(l.Body)
		if tried {
			word += "?"
		}
		out = append(out, word)
		return nil
	})
	if err != nil || len(troubles) > 0 {
		t.Fatal(troubles, err)
	}
	return strings.Join(out, " ")
}

func where(t *testing.T, conditions ...string) *Filter {
	t.Helper()
	f, err := ParseFilter(conditions)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// taker is a Way that notes what it takes.
type taker struct {
	got  flume.Batch
	fail func(b flume.Batch) error
}

func (w *taker) Take(_ context.Context, b flume.Batch) error {
	if w.fail != nil {
		if err := w.fail(b); err != nil {
			return err
		}
	}
	w.got = append(w.got, b...)
	return nil
}

func (w *taker) words() string {
	var out []string
	for _, e := range w.got {
		out = append(out, string(e.Body))
	}
	return strings.Join(out, " ")
}

func (w *taker) route(*Letter) Way { return w }

func TestReplayTakesTheChosenOnesAndNoOthers(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a bad b bad c")
	keep(t, dir, "bad d")
	to := &taker{}
	r, err := Replay(t.Context(), dir, where(t, "body=bad"), to.route)
	if err != nil || r.Settled != 3 || r.Again+r.Open+r.Unrouted != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if to.words() != "bad bad bad" || left(t, dir) != "a b c d" {
		t.Errorf("replayed %q, left %q", to.words(), left(t, dir))
	}
	ids := map[string]bool{}
	for _, e := range to.got {
		id, _ := e.Headers.Get(flume.LetterID)
		word, _ := e.Headers.Get("word")
		if ids[id] || id == "" || word != "bad" || len(e.Headers) != 2 {
			t.Errorf("headers %v", e.Headers)
		}
		ids[id] = true
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
	if got, _ := read(t, dir); len(got) != 4 {
		t.Errorf("a foreign reader finds %d", len(got))
	}
	r, err = Replay(t.Context(), dir, &Filter{}, to.route)
	if err != nil || r.Settled != 4 || left(t, dir) != "" {
		t.Errorf("%+v, %v", r, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// A letter keeps its identity while it is one, also when its file is written anew.
func TestALetterKeepsItsIdentity(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a b c")
	id := func() (id string) {
		_, _ = Each(dir, where(t, "body=c"), func(l *Letter, _ bool) error { id = l.ID; return nil })
		return id
	}
	before := id()
	if _, err := Remove(dir, where(t, "body=a")); err != nil {
		t.Fatal(err)
	}
	if after := id(); after != before || before == "" {
		t.Errorf("%q became %q", before, after)
	}
}

func TestWhatIsRefusedStays(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a b")
	full := &taker{fail: func(flume.Batch) error { return &Refusal{errors.New("full")} }}
	r, err := Replay(t.Context(), dir, &Filter{}, full.route)
	if err == nil || r.Settled+r.Open != 0 || left(t, dir) != "a b" {
		t.Errorf("%+v, %v, left %q", r, err, left(t, dir))
	}
}

func TestWhatNobodyKnowsIsCounted(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a b c")
	to := &taker{fail: func(flume.Batch) error { return errors.New("no answer") }}
	r, err := Replay(t.Context(), dir, where(t, "body~[ab]"), to.route)
	if err == nil || r.Open != 2 || left(t, dir) != "a? b? c" {
		t.Fatalf("%+v, %v, left %q", r, err, left(t, dir))
	}
	to.fail = func(flume.Batch) error { return &Refusal{errors.New("full")} }
	if _, err := Replay(t.Context(), dir, &Filter{}, to.route); err == nil || left(t, dir) != "a? b? c" {
		t.Fatalf("%v, left %q", err, left(t, dir))
	}
	if _, err := Remove(dir, where(t, "body=c")); err != nil || left(t, dir) != "a? b?" {
		t.Fatalf("%v, left %q", err, left(t, dir))
	}
	to.fail = nil
	r, err = Replay(t.Context(), dir, &Filter{}, to.route)
	if err != nil || r.Settled != 2 || r.Again != 2 || left(t, dir) != "" {
		t.Errorf("%+v, %v, left %q", r, err, left(t, dir))
	}
}

// What a replay brings back is not replayed by it: it would go on for ever.
func TestWhatIsRejectedAgainStays(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 1<<30)
	if err := l.Write("a1.sinks.k1", reject("a"), reject("b")); err != nil {
		t.Fatal(err)
	}
	to := &taker{}
	to.fail = func(b flume.Batch) error {
		for i := range b {
			if err := l.Write("a1.sinks.k1", flume.Rejection{Event: b[i], Err: errors.New("again")}); err != nil {
				return err
			}
		}
		return nil
	}
	r, err := Replay(t.Context(), dir, &Filter{}, to.route)
	if err != nil || r.Settled != 2 || left(t, dir) != "a b" {
		t.Fatalf("%+v, %v, left %q", r, err, left(t, dir))
	}
	if _, err := os.Stat(files(t, dir)[0] + doneSuffix); err != nil {
		t.Error("the file that is written was tidied up")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	first := map[string]bool{}
	for _, e := range to.got {
		id, _ := e.Headers.Get(flume.LetterID)
		first[id] = true
	}
	to = &taker{}
	if _, err := Replay(t.Context(), dir, &Filter{}, to.route); err != nil || left(t, dir) != "" {
		t.Fatal(err)
	}
	for _, e := range to.got {
		if id, _ := e.Headers.Get(flume.LetterID); first[id] {
			t.Error("two letters have one identity")
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestWaysAndBatches(t *testing.T) {
	dir := t.TempDir()
	l := New(dir, "a1", 1<<30)
	many := make([]flume.Rejection, 2500)
	for i := range many {
		many[i] = reject(fmt.Sprintf("%d", i))
	}
	if err := l.Write("a1.sinks.k1", many...); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("a1.sinks.gone", reject("lost")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := l.Write("a1.sinks.k1", reject(strings.Repeat("x", 700_000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	to := &taker{fail: func(b flume.Batch) error { sizes = append(sizes, len(b)); return nil }}
	r, err := Replay(t.Context(), dir, &Filter{}, func(l *Letter) Way {
		if l.Component == "a1.sinks.gone" {
			return nil
		}
		return to
	})
	if err != nil || r.Settled != 2503 || r.Unrouted != 1 || left(t, dir) != "lost" {
		t.Fatalf("%+v, %v", r, err)
	}
	if !slices.Equal(sizes, []int{1000, 1000, 501, 1, 1}) {
		t.Errorf("batches of %v", sizes)
	}
}

func TestOneReplayAtATime(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a")
	to := &taker{fail: func(flume.Batch) error {
		if _, err := Remove(dir, &Filter{}); err == nil || !strings.Contains(err.Error(), "one at a time") {
			t.Errorf("got %v", err)
		}
		return nil
	}}
	if _, err := Replay(t.Context(), dir, &Filter{}, to.route); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFileIsReadUpToTheDamage(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a b c")
	keep(t, dir, "d")
	name := files(t, dir)[0]
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(text, []byte("it is c"))
	text[len(text)-1] ^= 1 // of the last marker
	text[at] ^= 1
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	to := &taker{}
	r, err := Replay(t.Context(), dir, &Filter{}, to.route)
	if err != nil || len(r.Troubles) != 1 || r.Troubles[0].Path != name || !strings.Contains(r.Troubles[0].Err.Error(), "marker") {
		t.Fatalf("%+v, %v", r, err)
	}
	if to.words() != "a b d" {
		t.Errorf("replayed %q", to.words())
	}
	if got := files(t, dir); len(got) != 1 || got[0] != name {
		t.Errorf("there are %v", got)
	}
	r, err = Replay(t.Context(), dir, &Filter{}, to.route)
	if err != nil || r.Settled != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFilesOfOthersAreNamed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.avro": "what?", "b.avro": "", "c.avro": "Obj\x01\x02\x16avro.schema\x04{}\x00" + strings.Repeat("m", 16),
		"d.avro": "Obj\x01\x02\x14avro.codec\x0edeflate\x00" + strings.Repeat("m", 16),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	troubles, err := Each(dir, &Filter{}, func(*Letter, bool) error { return nil })
	if err != nil || len(troubles) != 3 {
		t.Fatalf("%v, %v", troubles, err)
	}
	for i, want := range []string{"no Avro container", "schema", "compressed with deflate"} {
		if !strings.Contains(troubles[i].Err.Error(), want) {
			t.Errorf("%v", troubles[i])
		}
	}
}

// Files from before letters had an identity are read, and their letters have one all the same.
func TestFilesOfTheVersionBefore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "2026-11-21T10-51-00.123Z-000.avro")
	marker := newMarker()
	head := bytes.Replace(appendFileHeader(nil, marker), appendText(nil, Schema), appendText(nil, schemaOld), 1)
	var block []byte
	for _, word := range []string{"a", "b"} {
		l := Letter{Headers: flume.Headers{{Key: "k", Value: "v\xff"}}, Body: []byte(word), Reason: "why", Component: "a1.sources.r1", Agent: "a1", Time: time.UnixMilli(7), Position: "t-0@1"}
		text := appendLetter(nil, &l)
		block = append(block, text[:len(text)-2]...) // without attempt and identity, which take a byte each
	}
	text := append(head, 4, byte(len(block)*2&0x7f|0x80), byte(len(block)*2>>7))
	text = append(append(text, block...), marker[:]...)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var got []Letter
	troubles, err := Each(dir, &Filter{}, func(l *Letter, _ bool) error { got = append(got, *l); return nil })
	if err != nil || len(troubles) > 0 || len(got) != 2 {
		t.Fatal(troubles, err, got)
	}
	if got[1].ID != hex.EncodeToString(marker[:8])+"-1" || got[1].Attempt != 0 || got[1].Position != "t-0@1" || got[1].Headers[0].Value != "v\xff" {
		t.Errorf("got %+v", got[1])
	}
	if _, err := Remove(dir, where(t, "body=a")); err != nil {
		t.Fatal(err)
	}
	id := got[1].ID
	_, _ = Each(dir, &Filter{}, func(l *Letter, _ bool) error { got = []Letter{*l}; return nil })
	if len(got) != 1 || got[0].ID != id {
		t.Errorf("got %+v", got)
	}
}

// A list of another file of that name settles nothing.
func TestAJournalOfAnotherFile(t *testing.T) {
	dir := t.TempDir()
	keep(t, dir, "a b")
	name := files(t, dir)[0]
	if err := os.WriteFile(name+doneSuffix, []byte(journalHead+strings.Repeat("00", 16)+"\ndone 0 "+sum("done 0")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if left(t, dir) != "a b" {
		t.Errorf("left %q", left(t, dir))
	}
	if _, err := Remove(dir, where(t, "body=b")); err != nil || left(t, dir) != "a" {
		t.Errorf("%v, left %q", err, left(t, dir))
	}
}

func TestAJournalThatIsCutOffOrDamaged(t *testing.T) {
	head := journalHead + strings.Repeat("00", 16) + "\n"
	whole := "try 0-3,5 " + sum("try 0-3,5") + "\ndone 0-2 " + sum("done 0-2") + "\n"
	for name, c := range map[string]struct {
		text        string
		done, tried int
		bad         bool
	}{
		"whole":           {head + whole, 3, 2, false},
		"taken back":      {head + whole + "back 3 " + sum("back 3") + "\n", 3, 1, false},
		"nothing":         {"", 0, 0, false},
		"torn head":       {head[:20], 0, 0, false},
		"torn line":       {head + whole + "done 3,5 12", 3, 2, false},
		"torn to a line":  {head + whole + "done 3\n", 3, 2, false},
		"damaged":         {head + strings.Replace(whole, "0-3", "0-4", 1), 0, 0, true},
		"unknown word":    {head + "x 1 " + sum("x 1") + "\n" + whole, 0, 0, true},
		"no numbers":      {head + "try a " + sum("try a") + "\n" + whole, 0, 0, true},
		"backwards":       {head + "try 3-2 " + sum("try 3-2") + "\n" + whole, 0, 0, true},
		"beyond any file": {head + "try 3-2000000000 " + sum("try 3-2000000000") + "\n" + whole, 0, 0, true},
		"no journal":      {"hello\n", 0, 0, true},
	} {
		j := &journal{}
		err := j.parse([]byte(c.text))
		if (err != nil) != c.bad || !c.bad && (j.done.count() != c.done || j.tried.count() != c.tried) {
			t.Errorf("%s: %v, %d done, %d tried", name, err, j.done.count(), j.tried.count())
		}
	}
}

func TestSpans(t *testing.T) {
	for want, numbers := range map[string][]int{"": nil, "7": {7}, "0-2,4,6-7": {0, 1, 2, 4, 6, 7}} {
		if got := formatSpans(spansOf(numbers)); got != want {
			t.Errorf("%v is %q", numbers, got)
		}
	}
}

// killed is the child of TestKilled: it replays and is killed in the middle.
func killed(dir, when string) {
	log := filepath.Join(dir, "..", "taken")
	n := 0
	_, _ = Replay(context.Background(), dir, &Filter{}, func(*Letter) Way {
		return dying(func(b flume.Batch) error {
			n++
			die := n == 2
			if die && when == "before" {
				suicide()
			}
			f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				panic(err)
			}
			for i := range b {
				id, _ := b[i].Headers.Get(flume.LetterID)
				fmt.Fprintf(f, "%s %s\n", id, b[i].Body)
			}
			_ = f.Close()
			if die {
				suicide()
			}
			return nil
		})
	})
}

type dyingWay struct{ take func(b flume.Batch) error }

func (w *dyingWay) Take(_ context.Context, b flume.Batch) error { return w.take(b) }

func dying(take func(b flume.Batch) error) Way { return &dyingWay{take} }

func suicide() {
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	_ = p.Kill()
	select {}
}

// A replay that is killed loses nothing, and what may have been taken twice is counted, under one identity.
func TestKilled(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		root := t.TempDir()
		dir := filepath.Join(root, "letters")
		keep(t, dir, "a b c d e")
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), "SLUICE_TEST_KILLED="+dir, "SLUICE_TEST_WHEN="+when)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Fatalf("it was not killed: %s", out)
		}
		// A way of its own for each letter makes batches of one: the first is settled, the second in doubt.
		if got := left(t, dir); got != "b? c d e" {
			t.Errorf("killed %s: left %q", when, got)
		}
		taken, err := os.ReadFile(filepath.Join(root, "taken"))
		if err != nil {
			t.Fatal(err)
		}
		to := &taker{}
		r, err := Replay(t.Context(), dir, &Filter{}, to.route)
		if err != nil || r.Settled != 4 || r.Again != 1 || to.words() != "b c d e" {
			t.Errorf("killed %s: %+v, %v, replayed %q", when, r, err, to.words())
		}
		id, _ := to.got[0].Headers.Get(flume.LetterID)
		if twice := strings.Contains(string(taken), id+" b\n"); twice != (when == "after") {
			t.Errorf("killed %s: %s has been taken: %s", when, id, taken)
		}
		if left(t, dir) != "" {
			t.Errorf("left %q", left(t, dir))
		}
	}
}

// Killed while a file is tidied up: at each step either the old file counts or the new one.
func TestKilledWhileTidying(t *testing.T) {
	for name, crash := range map[string]func(t *testing.T, path string, old, list []byte){
		"before the new file has the name": func(t *testing.T, path string, old, list []byte) {
			write(t, path+doneSuffix, list)
			write(t, path+".new", append([]byte(nil), old[:100]...))
			write(t, path, old)
		},
		"before the list is removed": func(t *testing.T, path string, _, list []byte) {
			write(t, path+doneSuffix, list)
		},
	} {
		dir := t.TempDir()
		keep(t, dir, "a b c")
		path := files(t, dir)[0]
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := open(path, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		list := []byte(journalHead + hex.EncodeToString(f.marker[:]) + "\ndone 0-1 " + sum("done 0-1") + "\n")
		_ = f.close()
		if _, err := Remove(dir, where(t, "body~[ab]")); err != nil {
			t.Fatal(err)
		}
		crash(t, path, old, list)
		write(t, filepath.Join(dir, "gone.avro.live"), nil)
		write(t, filepath.Join(dir, "gone.avro.done"), nil)
		if got := left(t, dir); got != "c" {
			t.Errorf("%s: left %q", name, got)
		}
		if _, err := Remove(dir, where(t, "body=x")); err != nil {
			t.Fatal(err)
		}
		if got := left(t, dir); got != "c" {
			t.Errorf("%s: left %q", name, got)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
			t.Errorf("%s: there are %v", name, names)
		}
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFilters(t *testing.T) {
	l := &Letter{ID: "x-1", Headers: flume.Headers{{Key: "topic", Value: "t=1"}}, Body: []byte("body"), Reason: "too large: 7", Component: "a1.sinks.k1", Agent: "a1",
		Time: time.Date(2026, 11, 21, 10, 0, 0, 0, time.Local), Attempt: 3, Position: "t-0@7"}
	for text, want := range map[string]bool{
		"component=a1.sinks.k1": true, "component!=a1.sinks.k1": false, "component = a1.sinks.k1": true, "reason~large": true, "reason~^large": false, "reason!~small": true,
		"header.topic=t=1": true, "header.none=": true, "header.none~x": false, "attempt>2": true, "attempt<=2": false, "attempt=3": true, "time>=2026-11-21": true,
		"time<2026-11-21T10:00:00.001": true, "time>2026-11-21 10:00": false, "time~T10:": true, "id=x-1": true, "agent=a2": false, "position~@7$": true, "body=body": true, "body~^b": true, "body!~^b": false,
	} {
		if got := where(t, text).Match(l); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
	if where(t, "body=body", "attempt>5").Match(l) {
		t.Error("one of two conditions is enough")
	}
	for text, want := range map[string]string{
		"component": "no condition", "reson~x": `did you mean "reason"?`, "reason<x": "no order", "reason~(": "regular expression", "time=soon": "no time", "attempt=many": "number", "header.=x": "no field", "!x": "no operator",
	} {
		if _, err := ParseFilter([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRequests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "replay", "[a*1]")
	if _, running, err := Running(dir); running || err != nil {
		t.Fatal(running, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, dir, Identity{PID: 7, Files: []string{"/f.conf"}}, nil, func(_ context.Context, r Request) Answer {
			return Answer{Settled: len(r.Where), Remarks: []string{r.To}}
		})
	}()
	flumetest.Until(t, "the agent answers", func() bool { _, err := os.Stat(filepath.Join(dir, agentFile)); return err == nil })
	who, running, err := Running(dir)
	if !running || err != nil || who.PID != 7 {
		t.Errorf("%+v, %v, %v", who, running, err)
	}
	a, err := Ask(t.Context(), dir, Request{Where: []string{"a=b"}, To: "channel"})
	if err != nil || a.Settled != 1 || a.Remarks[0] != "channel" {
		t.Errorf("%+v, %v", a, err)
	}
	short, stop := context.WithTimeout(t.Context(), time.Minute)
	said := ending(stop) // when it says that there is another one
	if err := Serve(short, dir, Identity{}, slog.New(slog.NewTextHandler(said, nil)), nil); err != nil || errors.Is(short.Err(), context.DeadlineExceeded) {
		t.Errorf("two agents answer in one directory: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := Ask(t.Context(), dir, Request{}); err == nil || !strings.Contains(err.Error(), "ended meanwhile") {
		t.Errorf("nobody answers: %v", err)
	}
	short, stop = context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if _, err := Ask(short, dir, Request{}); err == nil || !strings.Contains(err.Error(), "nothing was replayed") {
		t.Errorf("it was asked no longer: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "*")); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// ending is a log whose first line ends something.
type ending func()

func (e ending) Write(p []byte) (int, error) {
	e()
	return len(p), nil
}

func FuzzFile(f *testing.F) {
	marker := [16]byte{1, 2, 3}
	var b blocks
	for _, r := range []flume.Rejection{reject("one", "k", "v"), reject("two", "k\xff", "")} {
		l := Make(&r, "id", "a1.sinks.k1", "a1", time.UnixMilli(5))
		b.add(&l, marker)
	}
	whole := append(appendFileHeader(nil, marker), b.end(marker)...)
	f.Add(whole)
	f.Add(whole[:len(whole)-20])
	f.Add([]byte("Obj\x01\x01\x02\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := begin(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for n := 0; ; n++ {
			l, number, err := in.next()
			if err != nil {
				return
			}
			if number != n || l.ID == "" {
				t.Fatalf("letter %d is %+v", n, l)
			}
			l.Headers = slices.Clone(l.Headers)
			again := decoder{b: appendLetter(nil, &l)}
			if m := again.letter(false); again.bad || len(again.b) > 0 || !bytes.Equal(m.Body, l.Body) || m.Time.UnixMilli() != l.Time.UnixMilli() {
				t.Fatalf("%+v became %+v", l, m)
			}
		}
	})
}

func FuzzJournal(f *testing.F) {
	head := journalHead + strings.Repeat("00", 16) + "\n"
	f.Add([]byte(head + "try 0-3,5 " + sum("try 0-3,5") + "\ndone 0 " + sum("done 0") + "\n"))
	f.Add([]byte(head[:10]))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := &journal{}
		if err := j.parse(text); err == nil && j.size > int64(len(text)) {
			t.Fatalf("%d of %d bytes count", j.size, len(text))
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, text := range []string{"component=a1.sinks.k1", "reason~(a|b)", "header.x!~1", "time>=2026-11-21", "attempt<3"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if filter, err := ParseFilter([]string{text}); err == nil {
			filter.Match(&Letter{})
		}
	})
}
