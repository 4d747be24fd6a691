package wal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A dataFile is one log-N.
type dataFile struct {
	id      uint32
	dir     int // index into the data directories
	path    string
	version int
	cipher  *fileCipher // nil: plain
	size    int64       // when it was opened

	meta dataMeta
	// last: no later file of its directory has a record. Only such a file can have an end that nobody was told of, for a
	// file is synced before anything is written to the next.
	last bool
	// lacks: so many bytes the file had more when its meta was written.
	lacks int64
	// stale: the meta on the disk has to be written again.
	stale bool
	// written is up to where records are whole, so that they may be read.
	written atomic.Int64
	// ended is where an earlier run left off, behind which there may be fill; 0: nobody has looked.
	ended int64
}

// scanner returns a reader of the file's records from pos on.
func (d *dataFile) scanner(r io.ReaderAt, pos int64) scanner {
	return scanner{
		r: r, size: d.size, version: d.version, cipher: d.cipher, pos: pos, block: scanBlock,
		tears: d.last && d.lacks == 0, lacks: d.lacks,
	}
}

func (d *dataFile) metaPath() string { return d.path + ".meta" }

// dataFileNumber is the N of log-N; ok is false for a name that is no data file's.
func dataFileNumber(name string) (n uint32, ok bool) {
	digits, ok := strings.CutPrefix(name, "log-")
	if !ok || digits == "" || digits[0] == '0' && digits != "0" {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(digits, 10, 31)
	return uint32(v), err == nil
}

// listing is what the data directories hold.
type listing struct {
	files []*dataFile // with data or a meta, by number
	last  uint32      // the largest number that is taken, be it by a directory
	empty []bool      // data directories without any data file
	notes []string
}

// errForeign: a file that is named like a data file has no meta and nothing of a record.
var errForeign = errors.New("it is no data file")

// listFiles reads names and metas of all data files. Nothing is changed.
func listFiles(f vfs.FS, o *Options) (*listing, error) {
	l := &listing{empty: make([]bool, len(o.DataDirs))}
	byID := map[uint32]*dataFile{}
	for i, dir := range o.DataDirs {
		es, err := f.List(dir)
		if err != nil {
			return nil, fmt.Errorf("listing the data directory %s: %w", dir, err)
		}
		names := map[string]vfs.Entry{}
		for _, e := range es {
			names[e.Name] = e
		}
		l.empty[i] = true
		for _, e := range es {
			id, ok := dataFileNumber(e.Name)
			if !ok {
				continue
			}
			l.last = max(l.last, id)
			if e.Dir {
				continue
			}
			d := &dataFile{id: id, dir: i, path: filepath.Join(dir, e.Name), size: e.Size, version: formatVersion}
			_, hasMeta := names[e.Name+".meta"]
			d.written.Store(e.Size)
			if e.Size == 0 && !hasMeta {
				l.empty[i] = false
				continue
			}
			if id == 0 {
				return nil, fmt.Errorf("opening %s: data files are numbered from 1", d.path)
			}
			if other := byID[id]; other != nil {
				return nil, fmt.Errorf("opening %s: %s has the same number; one of them belongs elsewhere", d.path, other.path)
			}
			note, err := d.readMeta(f, o)
			if errors.Is(err, errForeign) && !isNamed(f, id, o.CheckpointDir, o.BackupDir) {
				l.notes = append(l.notes, fmt.Sprintf("%s has no meta, does not begin with a record and is in no checkpoint: it is no data file and is passed over", d.path))
				continue
			}
			if err != nil {
				return nil, err
			}
			byID[id] = d
			l.empty[i] = false
			if note != "" {
				l.notes = append(l.notes, note)
			}
			if m := d.meta.now.position; m > d.size {
				// What its marks say of the rest is not to be relied on.
				d.lacks, d.stale = m-d.size, true
				d.meta.now, d.meta.before = mark{}, mark{}
			}
			l.files = append(l.files, d)
		}
	}
	slices.SortFunc(l.files, func(a, b *dataFile) int { return cmp.Compare(a.id, b.id) })
	return l, l.findLast(f)
}

// findLast marks the last file with records of every directory. Those behind it were made when the last run began, or
// were about to be written to.
func (l *listing) findLast(f vfs.FS) error {
	found := make([]bool, len(l.empty))
	for _, d := range slices.Backward(l.files) {
		if found[d.dir] {
			continue
		}
		d.last = true
		has, err := d.hasRecords(f)
		if err != nil {
			return fmt.Errorf("reading %s: %w", d.path, err)
		}
		found[d.dir] = has
	}
	return nil
}

// hasRecords tells whether anything but fill, or zeros, has been written into the file.
func (d *dataFile) hasRecords(f vfs.FS) (bool, error) {
	if d.lacks > 0 {
		return true, nil
	}
	r, err := f.Open(d.path)
	if err != nil {
		return false, err
	}
	defer r.Close()
	s := d.scanner(r, d.begins())
	s.block = peekBytes
	zeros, err := s.zeros(s.pos)
	if err != nil {
		return false, err
	}
	b, err := s.view(s.pos+zeros, 1)
	return len(b) > 0 && b[0] != opEnd, err
}

// begins is where the first record stands.
func (d *dataFile) begins() int64 {
	if d.version == 2 {
		return v2Header
	}
	return 0
}

const metaLimit = 1 << 16

// readMeta finds out version, marks and cipher. A lost meta of a plain file is no harm: reading from the beginning is
// always right.
func (d *dataFile) readMeta(f vfs.FS, o *Options) (note string, err error) {
	b, err := readFile(f, d.metaPath(), metaLimit)
	missing := errors.Is(err, fs.ErrNotExist)
	if err == nil {
		d.meta, err = decodeMeta(b)
	}
	if err != nil && d.size > 0 {
		if missing {
			is, herr := d.readV2Header(f)
			if is || herr != nil {
				return "", herr
			}
		}
		if !d.spareMeta(f) {
			d.meta = dataMeta{file: d.id}
			if reads, rerr := d.reads(f); rerr != nil || !reads {
				if foreign, ferr := d.isForeign(f); missing && rerr == nil && ferr == nil && foreign {
					rerr = errForeign
				}
				return "", fmt.Errorf("opening %s: its meta file cannot be read, and without it neither can the data; put %s back, or move the file to another directory if it does not belong here: %w",
					d.path, filepath.Base(d.metaPath()), errors.Join(err, rerr))
			}
		}
		d.stale = true
		note = fmt.Sprintf("%s cannot be read (%v); the data file is read without it", d.metaPath(), err)
	} else if err != nil {
		d.meta, d.stale = dataMeta{file: d.id}, true
	}
	if d.meta.file != d.id {
		return "", fmt.Errorf("opening %s: its meta says that it is log-%d; give both files their old name again", d.path, d.meta.file)
	}
	if d.meta.iv == nil {
		return note, nil
	}
	if !strings.EqualFold(d.meta.cipher, cipherName) {
		return "", fmt.Errorf("opening %s: it is encrypted with %q; only %s is known", d.path, d.meta.cipher, cipherName)
	}
	if o.Keys == nil {
		return "", fmt.Errorf("opening %s: it is encrypted with the key %q and no key store is configured", d.path, d.meta.keyAlias)
	}
	key, err := o.Keys.Key(d.meta.keyAlias)
	if err != nil {
		return "", fmt.Errorf("opening %s: looking up the key %q: %w", d.path, d.meta.keyAlias, err)
	}
	if d.cipher, err = newFileCipher(key, d.meta.iv); err != nil {
		return "", fmt.Errorf("opening %s with the key %q: %w", d.path, d.meta.keyAlias, err)
	}
	return note, nil
}

// spareMeta reads the meta under the names that it may have been left under while it was being replaced. Flume writes the
// first and looks for the others.
func (d *dataFile) spareMeta(f vfs.FS) bool {
	for _, name := range []string{d.metaPath() + ".tmp", d.path + ".tmp", d.metaPath() + ".old"} {
		b, err := readFile(f, name, metaLimit)
		if err != nil {
			continue
		}
		if m, err := decodeMeta(b); err == nil {
			d.meta = m
			return true
		}
	}
	return false
}

// readV2Header recognizes a file of version 2 and takes the marks from its header.
func (d *dataFile) readV2Header(f vfs.FS) (is bool, err error) {
	r, err := f.Open(d.path)
	if err != nil {
		return false, err
	}
	defer r.Close()
	var b [v2Header]byte
	if n, _ := r.ReadAt(b[:], 0); n < v2Header || binary.BigEndian.Uint32(b[:]) != 2 {
		return false, nil
	}
	d.version = 2
	d.meta = dataMeta{
		file: binary.BigEndian.Uint32(b[4:]),
		now:  mark{int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))},
	}
	if d.meta.file != d.id {
		return true, fmt.Errorf("opening %s: its header says that it is log-%d; give it its old name again", d.path, d.meta.file)
	}
	return true, nil
}

// tryKeys looks for files whose key is not the one that they were encrypted with.
func tryKeys(f vfs.FS, files []*dataFile) error {
	for _, d := range files {
		if d.cipher == nil {
			continue
		}
		reads, err := d.reads(f)
		if err != nil {
			return fmt.Errorf("opening %s: %w", d.path, err)
		}
		if !reads {
			return fmt.Errorf("opening %s: the key %q reads none of its records: it is not the one that they were encrypted with", d.path, d.meta.keyAlias)
		}
	}
	return nil
}

// reads tells whether the file has no record, or one that can be read. What is encrypted and has lost its meta, or its
// key, has whole records, one behind the other, and none of them says anything: it must not pass for a write that was
// cut off.
func (d *dataFile) reads(f vfs.FS) (bool, error) {
	r, err := f.Open(d.path)
	if err != nil {
		return false, err
	}
	defer r.Close()
	s := d.scanner(r, 0)
	s.block, s.tears = peekBytes, true
	_, err = s.next()
	var bad *badRecord
	if !errors.As(err, &bad) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err == nil, err
	}
	if found, err := s.begins(bad.next); found || err != nil {
		return found, err
	}
	if d.cipher == nil && !bad.torn {
		return false, nil // nor is it the beginning of one
	}
	end, ok := s.frame(bad.at)
	if ok {
		_, ok = s.frame(end)
	}
	if !ok {
		return true, nil
	}
	return s.began(bad.at)
}

// began tells whether the record at off is one of ours, as far as it came to be written: its payload begins as they all
// do, or has not been written.
func (s *scanner) began(off int64) (bool, error) {
	const begin = 6 // length of the header, its first tag, kind
	b, err := s.view(off+framing, begin)
	if err != nil || len(b) < begin {
		return err == nil, err
	}
	p := slices.Clone(b[:begin])
	if bytes.Count(p, p[:1]) == begin && (p[0] == 0 || p[0] == opEnd) {
		return true, nil
	}
	if s.cipher != nil {
		s.cipher.apply(p, p)
	}
	kind := binary.LittleEndian.Uint32(p[2:])
	return p[1] == 1<<3|wireFixed32 && kind >= uint32(kindPut) && kind <= uint32(kindCommit), nil
}

// isForeign tells whether the file begins with a byte that no data file begins with.
func (d *dataFile) isForeign(f vfs.FS) (bool, error) {
	r, err := f.Open(d.path)
	if err != nil {
		return false, err
	}
	defer r.Close()
	var b [1]byte
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		return false, err
	}
	return b[0] != opRecord && b[0] != opNoop && b[0] != opEnd, nil
}

// frame tells where the record at off ends, if it has the outside of one.
func (s *scanner) frame(off int64) (end int64, ok bool) {
	b, err := s.view(off, framing)
	if err != nil || len(b) < framing || b[0] != opRecord {
		return 0, false
	}
	n := int64(int32(binary.BigEndian.Uint32(b[1:])))
	return off + framing + n, n > 0 && off+framing+n <= s.size
}

// A keyring asks for every key once: deriving one from its password takes a tenth of a second.
type keyring struct {
	from Keys
	mu   sync.Mutex
	keys map[string][]byte
}

// Key implements [Keys].
func (k *keyring) Key(alias string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[alias]; ok {
		return key, nil
	}
	key, err := k.from.Key(alias)
	if err == nil {
		k.keys[alias] = key
	}
	return key, err
}
