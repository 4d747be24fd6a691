package seqfile

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/internal/hadoopcodec"
)

// A Value is the Java class of a file's values.
type Value string

// The classes that Flume writes: hdfs.writeFormat = Writable and Text.
const (
	Bytes Value = "org.apache.hadoop.io.BytesWritable"
	Text  Value = "org.apache.hadoop.io.Text"

	longKey = "org.apache.hadoop.io.LongWritable"
)

// Compression is what is compressed together.
type Compression uint8

// The kinds of compression. Flume uses Block wherever a codec is set.
const (
	NoCompression Compression = iota
	Record                    // the value of each record for itself
	Block                     // the records of a batch
)

func (c Compression) String() string { return [...]string{"NONE", "RECORD", "BLOCK"}[c] }

// A Format is what all files of a sink have in common.
type Format struct {
	Value        Value
	Compression  Compression
	Codec        hadoopcodec.Codec   // None only with NoCompression
	Options      hadoopcodec.Options // of the codec
	Metadata     []Pair              // Flume writes none
	SyncInterval int64               // bytes from a sync entry to the next; 0: 102,400
	BlockSize    int                 // bytes of keys and values in a block; 0: 1,000,000
}

// A Pair is an entry of a header's metadata.
type Pair struct{ Key, Value string }

// Hadoop's own distances: io.seqfile.sync.interval, which is 2,000 in Hadoop 2, and io.seqfile.compress.blocksize.
const (
	DefaultSyncInterval = 102_400
	DefaultBlockSize    = 1_000_000
)

const (
	syncSize   = 16
	syncEscape = 0xffffffff // in the place of a record's length
	keySize    = 8
)

// MaxValue is how long a value may be. Hadoop's readers hold a record in one array.
const MaxValue = 1 << 30

// ErrTooLarge is wrapped where a value is longer than MaxValue.
var ErrTooLarge = errors.New("the event is larger than a record of a SequenceFile may be")

// A Header is what a file begins with.
type Header struct {
	Key         string // the Java class
	Value       Value
	Compression Compression
	CodecClass  string // empty with NoCompression
	Metadata    []Pair
	Sync        [syncSize]byte
}

func (f *Format) header() (h Header, err error) {
	h = Header{Key: longKey, Value: f.Value, Compression: f.Compression, CodecClass: f.Codec.Class(), Metadata: f.Metadata}
	if _, err := rand.Read(h.Sync[:]); err != nil {
		return h, fmt.Errorf("making a sync marker: %w", err)
	}
	return h, nil
}

func (h *Header) append(p []byte) []byte {
	p = append(p, "SEQ\x06"...)
	p = appendText(p, h.Key)
	p = appendText(p, string(h.Value))
	p = append(p, flag(h.Compression != NoCompression), flag(h.Compression == Block))
	if h.Compression != NoCompression {
		p = appendText(p, h.CodecClass)
	}
	p = binary.BigEndian.AppendUint32(p, uint32(len(h.Metadata)))
	for _, m := range h.Metadata {
		p = appendText(appendText(p, m.Key), m.Value)
	}
	return append(p, h.Sync[:]...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(p []byte, s string) []byte { return append(appendVInt(p, int64(len(s))), s...) }

// appendVInt appends Hadoop's number of one to nine bytes.
func appendVInt(p []byte, v int64) []byte {
	if v >= -112 && v <= 127 {
		return append(p, byte(v))
	}
	first := -112
	if v < 0 {
		v, first = ^v, -120
	}
	n := 1
	for rest := v >> 8; rest > 0; rest >>= 8 {
		n++
	}
	p = append(p, byte(first-n))
	for n--; n >= 0; n-- {
		p = append(p, byte(v>>(8*n)))
	}
	return p
}

// vintSize is how long a number is, by its first byte.
func vintSize(first byte) int {
	switch v := int8(first); {
	case v >= -112:
		return 1
	case v < -120:
		return -119 - int(v)
	default:
		return -111 - int(v)
	}
}

// vint is the number that p is; it has the size of one.
func vint(p []byte) int64 {
	if len(p) == 1 {
		return int64(int8(p[0]))
	}
	var v int64
	for _, b := range p[1:] {
		v = v<<8 | int64(b)
	}
	if int8(p[0]) < -120 {
		return ^v
	}
	return v
}
