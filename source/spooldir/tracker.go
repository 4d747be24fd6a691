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

	"github.com/sluice-io/sluice/internal/avrofile"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A tracker is Flume's file of the position in the spooled file under way: an Avro container with one record, the
// position, for each batch. The last one counts.
//
//	head   avro.schema, schema; file, path
//	block  position (zig-zag)
//	block  …
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
	sync   avrofile.Sync
	block  []byte
	synced time.Time // when a power cut would have lost nothing
	named  bool      // its name is safe
}

const (
	trackerName   = ".flumespool-main.meta"
	trackerSchema = `{"type":"record","name":"TransferStateFileMeta","namespace":"org.apache.flume.serialization","fields":[{"name":"offset","type":"long"}]}`
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
	in := bytes.NewReader(text)
	head, err := avrofile.ReadHead(in, int64(len(text)))
	if err != nil {
		return "", 0, nil, fmt.Errorf("%w: %w", errTracker, err)
	}
	if target = head.Told["file"]; target == "" {
		return "", 0, nil, errTracker
	}
	for at := head.Size; ; {
		b, err := avrofile.ReadBlock(in, at, head.Sync, int64(len(text)))
		if err != nil || b.Records != 1 {
			return target, position, head.Sync[:], nil
		}
		n, size := binary.Varint(b.Data)
		if size != len(b.Data) || size <= 0 || n < 0 {
			return target, position, head.Sync[:], nil
		}
		position, at = n, b.End
	}
}

// head is what a tracker begins with.
func (t *tracker) head() []byte {
	return avrofile.AppendHead(nil, t.sync, avrofile.Schema, trackerSchema, "file", t.target)
}

func (t *tracker) appendPosition(b []byte, position int64) []byte {
	var number [binary.MaxVarintLen64]byte
	return avrofile.AppendBlock(b, 1, binary.AppendVarint(number[:0], position), t.sync)
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
