package channeltool

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/event"
)

// A Format is how events are written.
type Format string

// The formats: lines of JSON; bodies, a newline behind each; an Avro container as Flume's avro_event serializer makes it.
const (
	JSON Format = "json"
	Body Format = "body"
	Avro Format = "avro"
)

// schema is Flume's, byte for byte.
const schema = `{"type":"record","name":"Event","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}`

// An Output is where events go.
type Output struct {
	file   *os.File
	format Format
	made   bool  // the file is ours alone, so that it can be cut off
	synced bool  // the file can be synced
	good   int64 // up to where a file of ours is synced
	buf    []byte
	block  []byte
	marker [16]byte
}

// Create opens an output: a file that is not there yet, or the standard output for "-".
func Create(path string, format Format) (*Output, error) {
	o := &Output{file: os.Stdout, format: format}
	if path != "-" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("%s is there already and is not written over; name another file", path)
		}
		if err != nil {
			return nil, fmt.Errorf("creating the output: %w", err)
		}
		o.file, o.made = file, true
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(fmt.Errorf("creating the output: %w", err), file.Close())
		}
	}
	info, err := o.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the output: %w", err)
	}
	o.synced = info.Mode().IsRegular()
	if format == Avro {
		_, _ = rand.Read(o.marker[:]) // never fails
		o.buf = binary.AppendVarint(append(o.buf, 'O', 'b', 'j', 1), 2)
		for _, s := range []string{"avro.schema", schema, "avro.codec", "null"} {
			o.buf = append(binary.AppendVarint(o.buf, int64(len(s))), s...)
		}
		o.buf = append(append(o.buf, 0), o.marker[:]...)
	}
	return o, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// most is how many bytes of events are collected before they are written.
const most = 1 << 20

// add collects an event.
func (o *Output) add(e *flume.Event, n *int) error {
	switch o.format {
	case JSON:
		o.buf = appendJSON(o.buf, e)
	case Body:
		o.buf = append(append(o.buf, e.Body...), '\n')
	case Avro:
		o.block = event.Append(o.block, e)
	}
	*n++
	if len(o.buf)+len(o.block) < most {
		return nil
	}
	return o.write(n)
}

// write writes what has been collected, n events.
func (o *Output) write(n *int) error {
	if len(o.block) > 0 {
		o.buf = binary.AppendVarint(binary.AppendVarint(o.buf, int64(*n)), int64(len(o.block)))
		o.buf = append(append(o.buf, o.block...), o.marker[:]...)
	}
	*n = 0
	_, err := o.file.Write(o.buf)
	o.buf, o.block = o.buf[:0], o.block[:0]
	return err
}

// Write writes events and makes them safe, where the output is a file. After an error none of them is in it.
func (o *Output) Write(b flume.Batch) error {
	n := 0
	var err error
	for i := range b {
		if err = o.add(&b[i], &n); err != nil {
			break
		}
	}
	if err == nil {
		err = o.write(&n)
	}
	if err == nil {
		err = o.sync()
	}
	if err != nil {
		o.undo()
		return fmt.Errorf("writing the events: %w", err)
	}
	return nil
}

func (o *Output) sync() error {
	if !o.synced {
		return nil
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	if !o.made {
		return nil
	}
	at, err := o.file.Seek(0, io.SeekCurrent)
	o.good = at
	return err
}

// undo cuts off what is not safe; it is still in the channel. A file in which nothing is safe goes. What cannot be undone
// stays, as after a crash: those events are in both.
func (o *Output) undo() {
	switch {
	case !o.made || !o.synced:
	case o.good == 0:
		_ = os.Remove(o.file.Name())
	case o.file.Truncate(o.good) == nil:
		_, _ = o.file.Seek(o.good, io.SeekStart)
	}
}

// Close ends the output.
func (o *Output) Close() error {
	n := 0
	err := o.write(&n) // of Avro at least the head
	if err == nil {
		err = o.sync()
	}
	if o.made {
		err = errors.Join(err, o.file.Close())
	}
	if err != nil {
		return fmt.Errorf("closing the output: %w", err)
	}
	return nil
}

// appendJSON writes an event as one line:
//
//	{"headers":{"k":"v"},"body":"text"}
//	{"headers":{},"bodyBase64":"/wA="}                                           a body that is no UTF-8
//	{"headers":{"k":"\ufffd"},"rawHeaders":[["aw==","/w=="]],"body":"text"}      headers that are none: all of them
func appendJSON(b []byte, e *flume.Event) []byte {
	b = append(b, `{"headers":{`...)
	text := true
	for i := range e.Headers {
		h := &e.Headers[i]
		text = text && utf8.ValidString(h.Key) && utf8.ValidString(h.Value)
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, h.Key), ':')
		b = appendQuoted(b, h.Value)
	}
	b = append(b, '}')
	if !text {
		b = append(b, `,"rawHeaders":[`...)
		for i := range e.Headers {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(base64.StdEncoding.AppendEncode(append(b, `["`...), []byte(e.Headers[i].Key)), `","`...)
			b = append(base64.StdEncoding.AppendEncode(b, []byte(e.Headers[i].Value)), `"]`...)
		}
		b = append(b, ']')
	}
	if utf8.Valid(e.Body) {
		b = appendQuoted(append(b, `,"body":`...), string(e.Body))
	} else {
		b = base64.StdEncoding.AppendEncode(append(b, `,"bodyBase64":"`...), e.Body)
		b = append(b, '"')
	}
	return append(b, '}', '\n')
}

// appendQuoted writes a JSON string; what is no UTF-8 in it becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		return append(append(append(b, '"'), s...), '"')
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic("BUG: a string that is no JSON: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte{'\n'})...)
}
