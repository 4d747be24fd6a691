package channeltool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/avro/ocf"

	"github.com/sluice-io/sluice/flume"
)

func event1(body string, headers ...string) flume.Event {
	e := flume.Event{Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		e.Headers = append(e.Headers, flume.Header{Key: headers[i], Value: headers[i+1]})
	}
	return e
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		e    flume.Event
		want string
	}{
		{event1("text"), `{"headers":{},"body":"text"}`},
		{event1("", "b", "2", "a", ""), `{"headers":{"b":"2","a":""},"body":""}`},
		{event1("a\n\"<é>\\", "k\t", "\x00"), `{"headers":{"k\t":"\u0000"},"body":"a\n\"<é>\\"}`},
		{event1("\xff\x00"), `{"headers":{},"bodyBase64":"/wA="}`},
		{event1("x", "k", "\xff", "l", "m"), `{"headers":{"k":"\ufffd","l":"m"},"rawHeaders":[["aw==","/w=="],["bA==","bQ=="]],"body":"x"}`},
	} {
		if got := string(appendJSON(nil, &c.e)); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

func TestFormats(t *testing.T) {
	big := flume.Batch{event1(strings.Repeat("x", most), "n", "0"), event1("two", "k", "v", "l", "\x00"), event1("")}
	for _, format := range []Format{JSON, Body, Avro} {
		path := filepath.Join(t.TempDir(), "out")
		out, err := Create(path, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []flume.Batch{big, nil, {event1("last")}} {
			if err := out.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(path, format); err == nil || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("%v", err)
		}
		switch format {
		case JSON:
			if got := lines(t, path); len(got) != 4 || got[1] != `["k"="v" "l"="\x00"] "two"` {
				t.Errorf("%d lines", len(got))
			}
		case Body:
			if b, err := os.ReadFile(path); err != nil || string(b) != strings.Repeat("x", most)+"\ntwo\n\nlast\n" {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		case Avro:
			if got := container(t, path); len(got) != 4 || got[1].Headers["k"] != "v" || string(got[3].Body) != "last" {
				t.Errorf("%d events", len(got))
			}
		}
	}
}

type avroEvent struct {
	Headers map[string]string `avro:"headers"`
	Body    []byte            `avro:"body"`
}

// container reads with a foreign reader.
func container(t *testing.T, path string) []avroEvent {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ocf.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []avroEvent
	for {
		var e avroEvent
		err := r.Decode(&e)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
}

// A container without an event is one all the same.
func TestEmptyContainer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	out, err := Create(path, Avro)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if got := container(t, path); len(got) != 0 {
		t.Error(got)
	}
}

// What could not be written whole is cut off: those events stay in the channel.
func TestUndo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	out, err := Create(path, Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(flume.Batch{event1("good")}); err != nil {
		t.Fatal(err)
	}
	if _, err := out.file.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	out.undo()
	if err := out.Write(flume.Batch{event1("again")}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "good\nagain\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// A drain whose output fails takes nothing, and leaves no file that is in the way of the next.
func TestDrainFails(t *testing.T) {
	for _, c := range goldenCases(t) {
		if c.Name != "puts-clean" {
			continue
		}
		dir := unpack(t, c.Name)
		o := c.options(t, dir)
		path := filepath.Join(dir, "out")
		out, err := Create(path, JSON)
		if err != nil {
			t.Fatal(err)
		}
		out.file.Close()
		d, err := Drain(t.Context(), o, QuarantineOf(o.CheckpointDir), out, 0, silent)
		if !errors.Is(err, os.ErrClosed) || d.Events != 0 || d.Left != c.Events {
			t.Errorf("%+v, %v", d, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v", err)
		}
		got, _ := drain(t, o, 0)
		c.same(t, "drained after all", got)
	}
}
