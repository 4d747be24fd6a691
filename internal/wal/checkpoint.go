package wal

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/sluice-io/sluice/internal/vfs"
)

// Slots of the file checkpoint: big-endian numbers of eight bytes.
const (
	slotVersion  = 0
	slotOrder    = 1 // the checkpoint's write order ID
	slotOwner    = 2 // ours: the same number again, which says that nothing was in flight. Version 2: the queue's size
	slotHead     = 3 // version 2: the queue's head
	slotHome     = 3 // ours: which data directories it is of
	slotMarker   = 4 // not 0: half written
	slotActive   = 5 // version 2: data files and how many events each has
	slotSum      = 5 // ours: sumMagic, and the checksum of the queue
	ownSlots     = 6 // how many the head of ours has
	slotQueue    = 1029
	slotSize     = 8
	queueAt      = slotQueue * slotSize
	emptyFlights = md5.Size + 16 // the size of an in-flight file that says nothing
)

// The names in a checkpoint directory. Flume knows the first of each; the others are ours: a checkpoint is written
// whole under the second name and then takes the place of the first, which becomes the room for the next.
const (
	ringName        = "checkpoint"
	ringSpare       = "checkpoint.tmp"
	ringMoving      = "checkpoint.old" // between two renames
	ringSnappy      = "checkpoint.snappy"
	metaName        = "checkpoint.meta"
	metaSpare       = "checkpoint.meta.tmp"
	metaMoving      = "checkpoint.meta.old"
	inflightPuts    = "inflightputs"
	inflightTakes   = "inflighttakes"
	backupComplete  = "backupComplete"
	lockName        = "in_use.lock"
	upgradePrefix   = "checkpoint-backup-"
	ringBlock       = 1 << 16    // pointers read at a time
	checkpointLimit = 1 << 20    // bytes of checkpoint.meta: 14 for each data file with events
	sumMagic        = 0x53554d31 // "SUM1"
)

// A checkpoint is the queue at a moment: what a replay starts from.
type checkpoint struct {
	name string // the file it came from
	meta string // and its meta, of one that is unpublished
	// unpublished: its files do not both have their final names yet.
	unpublished bool

	woid    int64
	version int
	ours    bool        // this package wrote it: nothing was in flight, whatever the in-flight files say
	home    int64       // of ours: its data directories
	summed  bool        // its checksum is right
	active  []fileCount // what its meta says; version 2: nothing
	slots   int         // the capacity it was written for
	size    int         // pointers in queue
	queue   [][]Pointer // in order, in blocks
	puts    []flight    // transactions that were open, as Flume writes them
	takes   []flight
}

// A flight is a transaction that was open at a checkpoint and what it had put or taken so far.
type flight struct {
	tx       int64
	pointers []Pointer
}

// A checkpointMeta is what checkpoint.meta says.
type checkpointMeta struct {
	woid       int64
	size, head int
	active     []fileCount
}

// A fileCount says how many of the queue's events are in a data file.
type fileCount struct {
	file  uint32
	count int
}

func decodeCheckpointMeta(b []byte) (m checkpointMeta, err error) {
	msg, _, err := delimited(b)
	if err != nil {
		return m, err
	}
	have, version := 0, uint32(0)
	err = eachField(msg, func(f field) error {
		switch {
		case f.no == 1 && f.wire == wireFixed32:
			version, have = uint32(f.num), have|1
		case f.no == 2 && f.wire == wireFixed64:
			m.woid, have = int64(f.num), have|2
		case f.no == 3 && f.wire == wireFixed32:
			m.size, have = int(int32(f.num)), have|4
		case f.no == 4 && f.wire == wireFixed32:
			m.head, have = int(int32(f.num)), have|8
		case f.no == 5 && f.wire == wireBytes:
			var c fileCount
			err := eachField(f.bytes, func(f field) error {
				switch {
				case f.no == 1 && f.wire == wireFixed32:
					c.file = uint32(f.num)
				case f.no == 2 && f.wire == wireFixed32:
					c.count = int(int32(f.num))
				}
				return nil
			})
			m.active = append(m.active, c)
			return err
		}
		return nil
	})
	switch {
	case err != nil:
		return m, err
	case have != 15:
		return m, errors.New("a field is missing")
	case version != formatVersion:
		return m, fmt.Errorf("version %d", version)
	}
	return m, nil
}

func (m *checkpointMeta) encode() []byte {
	b := appendFixed32(nil, 1, formatVersion)
	b = appendFixed64(b, 2, uint64(m.woid))
	b = appendFixed32(b, 3, uint32(m.size))
	b = appendFixed32(b, 4, uint32(m.head))
	for _, c := range m.active {
		e := appendFixed32(nil, 1, c.file)
		e = appendFixed32(e, 2, uint32(c.count))
		b = appendBytes(b, 5, e)
	}
	return appendDelimited(nil, b)
}

// decodeFlights reads an in-flight file. Within a transaction the file has no order: the pointers come back sorted,
// which is the order of the events as far as it is known.
func decodeFlights(b []byte) ([]flight, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < md5.Size {
		return nil, fmt.Errorf("%d bytes are too few", len(b))
	}
	if sum := md5.Sum(b[md5.Size:]); !bytes.Equal(sum[:], b[:md5.Size]) {
		return nil, errors.New("the checksum is wrong")
	}
	var out []flight
	for b = b[md5.Size:]; len(b) >= 16; {
		f := flight{tx: int64(binary.BigEndian.Uint64(b))}
		n := binary.BigEndian.Uint64(b[8:])
		b = b[16:]
		if n > uint64(len(b)/8) {
			return nil, fmt.Errorf("transaction %d has more pointers than the file", f.tx)
		}
		for range n {
			f.pointers = append(f.pointers, Pointer(binary.BigEndian.Uint64(b)))
			b = b[8:]
		}
		if n > 0 {
			slices.Sort(f.pointers)
			out = append(out, f)
		}
	}
	return out, nil
}

func encodeFlights(fs []flight) []byte {
	b := make([]byte, md5.Size)
	for _, f := range fs {
		b = binary.BigEndian.AppendUint64(b, uint64(f.tx))
		b = binary.BigEndian.AppendUint64(b, uint64(len(f.pointers)))
		for _, p := range f.pointers {
			b = binary.BigEndian.AppendUint64(b, uint64(p))
		}
	}
	b = append(b, make([]byte, 16)...) // Flume's buffer is that much longer than what it holds
	sum := md5.Sum(b[md5.Size:])
	copy(b, sum[:])
	return b
}

// errAbsent is why there is no checkpoint where there is nothing at all: not damage.
var errAbsent = errors.New("there is none")

func readFile(f vfs.FS, name string, limit int64) ([]byte, error) {
	r, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	n, err := r.Size()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d it may have", name, n, limit)
	}
	b := make([]byte, n)
	if m, err := r.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && int64(m) == n) {
		return nil, err
	}
	return b, nil
}

// loadCheckpoint reads the checkpoint that the files ring and meta of dir make. Errors other than errAbsent say that
// it is bad, or that the disk is.
func loadCheckpoint(f vfs.FS, dir, ring, meta string) (*checkpoint, error) {
	mb, metaErr := readFile(f, filepath.Join(dir, meta), checkpointLimit*16)
	if metaErr != nil && !errors.Is(metaErr, fs.ErrNotExist) {
		return nil, metaErr
	}
	rf, err := f.Open(filepath.Join(dir, ring))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if metaErr != nil {
				return nil, errAbsent
			}
			return nil, fmt.Errorf("%s is missing and %s is there", ring, meta)
		}
		return nil, err
	}
	defer rf.Close()
	size, err := rf.Size()
	if err != nil {
		return nil, err
	}
	var slots io.ReaderAt = rf
	if ring == ringSnappy {
		b, err := unsnappy(io.NewSectionReader(rf, 0, size))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ring, err)
		}
		slots, size = bytes.NewReader(b), int64(len(b))
	}
	if size == 0 && metaErr != nil {
		return nil, errAbsent
	}
	return decodeCheckpoint(slots, size, mb, metaErr == nil, ring, meta)
}

func decodeCheckpoint(slots io.ReaderAt, size int64, mb []byte, hasMeta bool, ring, meta string) (*checkpoint, error) {
	if size < queueAt+slotSize || size%slotSize != 0 {
		return nil, fmt.Errorf("%s has %d bytes, which no checkpoint has", ring, size)
	}
	var head [ownSlots * slotSize]byte
	if _, err := slots.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ring, err)
	}
	slot := func(i int) int64 { return int64(binary.BigEndian.Uint64(head[i*slotSize:])) }
	has := int(size/slotSize) - slotQueue
	c := &checkpoint{name: ring, woid: slot(slotOrder), version: int(slot(slotVersion))}
	var m checkpointMeta
	switch {
	case !hasMeta && c.version == 2:
		m.woid = c.woid
		m.size, m.head = int(slot(slotOwner)), int(slot(slotHead))
	case !hasMeta:
		return nil, fmt.Errorf("%s is missing and %s is there", meta, ring)
	case c.version != formatVersion:
		return nil, fmt.Errorf("%s is of version %d", ring, c.version)
	default:
		var err error
		if m, err = decodeCheckpointMeta(mb); err != nil {
			return nil, fmt.Errorf("%s: %w", meta, err)
		}
	}
	switch {
	case slot(slotMarker) != 0:
		return nil, fmt.Errorf("%s was being written when the last run ended", ring)
	case m.woid != c.woid:
		return nil, fmt.Errorf("%s belongs to another checkpoint than %s: %d and %d", meta, ring, m.woid, c.woid)
	case m.size < 0 || m.size > has || m.head < 0 || m.head >= has:
		return nil, fmt.Errorf("%s: a queue of %d from slot %d does not fit %d slots", meta, m.size, m.head, has)
	}
	c.slots, c.size, c.home, c.active = has, m.size, slot(slotHome), m.active
	c.ours = hasMeta && slot(slotOwner) == c.woid && c.woid != 0
	first := min(m.size, has-m.head)
	if err := c.readQueue(slots, m.head, first); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ring, err)
	}
	if err := c.readQueue(slots, 0, m.size-first); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ring, err)
	}
	// The next checkpoint of Flume leaves the sum where it is, and another owner than its own.
	if sum := uint64(slot(slotSum)); c.ours && sum>>32 == sumMagic {
		var s ringSum
		for _, b := range c.queue {
			s.add(b)
		}
		if uint32(sum) != s.of(c.woid, m.head) {
			return nil, fmt.Errorf("%s is damaged: its checksum is wrong", ring)
		}
		c.summed = true
	}
	return c, nil
}

// A ringSum is the checksum of a checkpoint of ours: CRC-32C of the queue's slots in order, and of what says which they
// are. Its zero value is that of no slots.
type ringSum struct {
	crc uint32
	n   int
	buf []byte
}

func (s *ringSum) add(ps []Pointer) {
	s.buf = s.buf[:0]
	for _, p := range ps {
		s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(p))
	}
	s.crc = crc32.Update(s.crc, crc32.MakeTable(crc32.Castagnoli), s.buf)
	s.n += len(ps)
}

func (s *ringSum) of(woid int64, head int) uint32 {
	b := binary.BigEndian.AppendUint64(nil, uint64(woid))
	b = binary.BigEndian.AppendUint64(b, uint64(s.n))
	b = binary.BigEndian.AppendUint64(b, uint64(head))
	return crc32.Update(s.crc, crc32.MakeTable(crc32.Castagnoli), b)
}

func (c *checkpoint) readQueue(slots io.ReaderAt, from, n int) error {
	buf := make([]byte, min(n, ringBlock)*slotSize)
	for n > 0 {
		k := min(n, ringBlock)
		if m, err := slots.ReadAt(buf[:k*slotSize], int64(slotQueue+from)*slotSize); m < k*slotSize {
			return err
		}
		block := make([]Pointer, k)
		for i := range block {
			block[i] = Pointer(binary.BigEndian.Uint64(buf[i*slotSize:]))
		}
		c.queue = append(c.queue, block)
		from, n = from+k, n-k
	}
	return nil
}
