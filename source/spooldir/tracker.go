package spooldir

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A tracker is Flume's file of the position in the spooled file under way: an Avro container with one record, the
// position, for each batch. The last one counts.
//
//	"Obj" 1 | 04 | avro.schema, schema | file, path | 00 | sync (16 bytes)
//	02 | size of the number | position (zig-zag) | sync
//	02 | …
//
// Beside it lies an identity, a JSON object, in a file with .sluice behind its name; Flume takes no notice of it. It counts
// as long as the tracker has its sync marker: until Flume begins another one.
//
// Both outlive a kill. For a power cut they are made safe before a place counts that was noted elsewhere, and then every
// few seconds; a small file that is read from its beginning is done before, and costs no sync.
type tracker struct {
	fs     vfs.FS
	path   string
	f      *vfs.Appender // nil: none is under way
	target string        // the path of the spooled file, as it was configured
	of     identity
	sync   [16]byte
	block  []byte
	synced time.Time // when a power cut would have lost nothing
	named  bool      // its name is safe
}

const (
	trackerName   = ".flumespool-main.meta"
	trackerSchema = `{"type":"record","name":"TransferStateFileMeta","namespace":"org.apache.flume.serialization","fields":[{"name":"offset","type":"long"}]}`
	magic         = "Obj\x01"
	beside        = ".sluice"
	mostTracker   = 64 << 20
	syncInterval  = 3 * time.Second // what a power cut repeats at most
)

// readTracker returns the path of the spooled file, the position in it and, if it is known, what the file was; no path where
// there is no tracker.
func readTracker(fsys vfs.FS, path string) (target string, position int64, of *identity, err error) {
	if i, err := fsys.Stat(path); err == nil && i.Size > mostTracker {
		return "", 0, nil, fmt.Errorf("reading the tracker file %s: it has %d bytes", path, i.Size)
	}
	text, err := vfs.ReadFile(fsys, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", 0, nil, nil
	case err != nil:
		return "", 0, nil, fmt.Errorf("reading the tracker file: %w", err)
	case len(text) == 0: // a full disk
		return "", 0, nil, nil
	}
	target, position, sync, err := parseTracker(text)
	if err != nil {
		return "", 0, nil, fmt.Errorf("reading the tracker file %s: %w", path, err)
	}
	var was identity
	if text, err = vfs.ReadFile(fsys, path+beside); err == nil && json.Unmarshal(text, &was) == nil && was.Sync == hex.EncodeToString(sync) {
		of = &was
	}
	return target, position, of, nil
}

var errTracker = errors.New("it is not a tracker file")

// parseTracker reads the head and the blocks up to one that is not whole: what a kill has left.
func parseTracker(text []byte) (target string, position int64, sync []byte, err error) {
	rest, ok := bytes.CutPrefix(text, []byte(magic))
	if !ok {
		return "", 0, nil, errTracker
	}
	for {
		var count int64
		if count, rest, ok = cutLong(rest); ok && count < 0 {
			count = -count
			_, rest, ok = cutLong(rest)
		}
		if !ok || count < 0 || count > int64(len(rest)) {
			return "", 0, nil, errTracker
		}
		if count == 0 {
			break
		}
		for ; count > 0; count-- {
			var key, value []byte
			if key, rest, ok = cutText(rest); ok {
				value, rest, ok = cutText(rest)
			}
			switch {
			case !ok:
				return "", 0, nil, errTracker
			case string(key) == "file":
				target = string(value)
			}
		}
	}
	if len(rest) < 16 || target == "" {
		return "", 0, nil, errTracker
	}
	sync = rest[:16]
	for rest = rest[16:]; len(rest) > 0; {
		count, next, ok := cutLong(rest)
		data, next, whole := cutText(next)
		if !ok || !whole || count != 1 || !bytes.HasPrefix(next, sync) {
			return target, position, sync, nil
		}
		at, left, ok := cutLong(data)
		if !ok || len(left) > 0 || at < 0 {
			return target, position, sync, nil
		}
		position, rest = at, next[16:]
	}
	return target, position, sync, nil
}

func cutLong(b []byte) (n int64, rest []byte, ok bool) {
	n, size := binary.Varint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func cutText(b []byte) (text, rest []byte, ok bool) {
	n, rest, ok := cutLong(b)
	if !ok || n < 0 || n > int64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendVarint(b, int64(len(text))), text...)
}

// head is what a tracker begins with.
func (t *tracker) head() []byte {
	b := append([]byte(magic), 4)
	b = appendText(b, "avro.schema")
	b = appendText(b, trackerSchema)
	b = appendText(b, "file")
	b = appendText(b, t.target)
	b = append(b, 0)
	return append(b, t.sync[:]...)
}

func (t *tracker) appendPosition(b []byte, position int64) []byte {
	var number [binary.MaxVarintLen64]byte
	n := binary.PutVarint(number[:], position)
	b = binary.AppendVarint(append(b, 2), int64(n))
	return append(append(b, number[:n]...), t.sync[:]...)
}

// begin puts a new tracker in place of the one that is there. A position that is not zero is safe when it returns.
func (t *tracker) begin(target string, position int64, of identity) error {
	t.close()
	t.target = target
	_, _ = rand.Read(t.sync[:]) // it does not fail
	of.Sync, of.Aside = hex.EncodeToString(t.sync[:]), false
	t.of = of
	if err := t.identify(position > 0); err != nil {
		return err
	}
	text := t.head()
	if position > 0 {
		text = t.appendPosition(text, position)
	}
	err := vfs.Swap(t.fs, t.path, text, position > 0)
	if err == nil {
		t.f, err = vfs.Append(t.fs, t.path)
	}
	t.synced, t.named = time.Now(), false
	if err == nil && position > 0 {
		err = t.makeSafe()
	}
	if err != nil {
		return fmt.Errorf("writing the tracker file: %w", err)
	}
	return nil
}

// identify writes the identity beside the tracker.
func (t *tracker) identify(whole bool) error {
	text, err := json.Marshal(t.of)
	if err == nil {
		err = vfs.Swap(t.fs, t.path+beside, append(text, '\n'), whole)
	}
	if err != nil {
		return fmt.Errorf("writing beside the tracker file: %w", err)
	}
	return nil
}

// setAside notes that the file under way has a mark, so that it is seen when somebody removes it while nobody is there.
func (t *tracker) setAside(target string) error {
	if t.target != target || t.f == nil {
		return nil
	}
	t.of.Aside = true
	return t.identify(true)
}

// makeSafe syncs what has been noted.
func (t *tracker) makeSafe() error {
	t.synced = time.Now()
	if t.named {
		return t.f.Sync()
	}
	f, err := t.fs.OpenWrite(t.path + beside)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), t.f.Sync(), t.fs.SyncDir(dirOf(t.path))); err != nil {
		return err
	}
	t.named = true
	return nil
}

// commit notes a position.
func (t *tracker) commit(position int64) error {
	t.block = t.appendPosition(t.block[:0], position)
	_, err := t.f.Write(t.block)
	if err == nil && time.Since(t.synced) >= syncInterval {
		err = t.makeSafe()
	}
	if err != nil {
		return fmt.Errorf("writing the tracker file: %w", err)
	}
	return nil
}

func (t *tracker) close() {
	if t.f != nil {
		_ = t.f.Close() // nothing waits to be written
		t.f = nil
	}
}

// end removes it, or leaves it, as Flume does where spooled files stay. It does nothing where another file is under way.
func (t *tracker) end(target string, leave bool) error {
	if t.target != target {
		return nil
	}
	t.close()
	names := []string{t.path, t.path + beside}
	if leave {
		names = names[1:]
	}
	for _, name := range names {
		if err := t.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the tracker file: %w", err)
		}
	}
	return nil
}
