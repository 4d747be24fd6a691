package hdfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/hadoopcodec"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/seqfile"
	"github.com/sluice-io/sluice/internal/serializer"
)

// A format makes the bytes of files. It holds buffers and encoders but no event and nothing of one file: that is in the
// file's shape, so that thousands can be open. Its calls must not overlap.
type format interface {
	// fit returns how many events, from the first one on, belong into the file; 0: the first one needs a new file. An
	// error is about the first event; if it wraps serializer.ErrUnfit no file can have it.
	fit(ctx context.Context, f *shape, b flume.Batch) (int, error)
	// encode appends to out what the events are at the end of a file that has size bytes, and in front of them what a new
	// file starts with. The file is whole after that.
	encode(out *bytes.Buffer, f *shape, size int64, b flume.Batch) error
}

// A shape is what a format remembers of one file.
type shape struct {
	plain    serializer.File
	sequence *seqfile.Writer
}

// A plain format is that of a DataStream: what the serializer makes.
type plain struct{ *serializer.Serializer }

func (p plain) fit(ctx context.Context, f *shape, b flume.Batch) (int, error) {
	return p.Fit(ctx, &f.plain, b)
}

func (p plain) encode(out *bytes.Buffer, f *shape, size int64, b flume.Batch) error {
	return p.to(out, f, size, b)
}

func (p plain) to(out io.Writer, f *shape, size int64, b flume.Batch) error {
	if size == 0 {
		if err := p.Begin(out, &f.plain); err != nil {
			return err
		}
	}
	return p.Write(out, &f.plain, b)
}

// A compressed format is that of a CompressedStream: what the serializer makes, in a member for each flush.
type compressed struct {
	plain
	codec *hadoopcodec.Writer
}

func (c *compressed) encode(out *bytes.Buffer, f *shape, size int64, b flume.Batch) error {
	c.codec.Reset(out)
	if err := c.to(c.codec, f, size, b); err != nil {
		return err
	}
	return c.codec.Finish()
}

// A sequence format is that of a SequenceFile: a key, which is the event's time, and its body. The rest is lost, as in
// Flume.
type sequence struct {
	pool *seqfile.Pool
	keys []int64
}

// fit has read the keys of the events that it lets in.
func (s *sequence) fit(_ context.Context, _ *shape, b flume.Batch) (int, error) {
	s.keys = s.keys[:0]
	for i := range b {
		key, err := sequenceKey(&b[i])
		if err != nil && i > 0 {
			break
		}
		if err != nil {
			return 0, err
		}
		s.keys = append(s.keys, key)
	}
	return len(s.keys), nil
}

// sequenceKey is the event's time; without one the present.
func sequenceKey(e *flume.Event) (int64, error) {
	if len(e.Body) > seqfile.MaxValue {
		return 0, fmt.Errorf("%w: a body of %d bytes is larger than the %d of a SequenceFile's record", serializer.ErrUnfit, len(e.Body), seqfile.MaxValue)
	}
	text, ok := e.Headers.Get(escape.Timestamp)
	if !ok {
		return time.Now().UnixMilli(), nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: header %q is %.40q, not a number of milliseconds since 1970", serializer.ErrUnfit, escape.Timestamp, text)
	}
	return ms, nil
}

func (s *sequence) encode(out *bytes.Buffer, f *shape, _ int64, b flume.Batch) (err error) {
	if _, err := s.fit(context.Background(), f, b); err != nil { // another file's events may have been asked for in between
		return err
	}
	if f.sequence == nil {
		f.sequence, err = s.pool.Create(out)
	} else {
		f.sequence.Reset(out)
	}
	for i := 0; err == nil && i < len(b); i++ {
		err = f.sequence.Append(s.keys[i], b[i].Body)
	}
	if err != nil {
		return err
	}
	return f.sequence.Flush()
}

// formats are those that nobody uses: one for each processor, as making bytes is work.
type formats struct {
	free  chan format
	codec hadoopcodec.Codec
}

func (s *Settings) newFormats(c *hdfs.Conf) (formats, error) {
	n := max(2, runtime.GOMAXPROCS(0))
	all := formats{free: make(chan format, n), codec: s.compression}
	options, err := s.compression.Options(c.Get)
	if err != nil {
		return all, fmt.Errorf("reading the Hadoop configuration: %w", err)
	}
	var make func() format
	switch s.fileType {
	case dataStream:
		make = func() format { return plain{s.serializer.New()} }
	case compressedStream:
		pool := hadoopcodec.NewPool(s.compression, options, n)
		make = func() format { return &compressed{plain{s.serializer.New()}, pool.NewWriter(io.Discard)} }
	case sequenceFile:
		f := seqfile.Format{
			Value: seqfile.Bytes, Codec: s.compression, Options: options,
			SyncInterval: c.Size("io.seqfile.sync.interval", seqfile.DefaultSyncInterval),
			BlockSize:    int(min(c.Size("io.seqfile.compress.blocksize", seqfile.DefaultBlockSize), math.MaxInt32)),
		}
		if s.writeFormat == text {
			f.Value = seqfile.Text
		}
		if s.compression != hadoopcodec.None {
			f.Compression = seqfile.Block
		}
		pool, err := seqfile.NewPool(f, n)
		if err != nil {
			return all, err
		}
		make = func() format { return &sequence{pool: pool} }
	}
	for range n {
		all.free <- make()
	}
	return all, nil
}

func (f formats) extension() string { return f.codec.Extension() }

func (k *sink) takeFormat() format  { return <-k.formats.free }
func (k *sink) giveFormat(f format) { k.formats.free <- f }

// checkCodec finds the codec and holds it against the file type.
func (s *Settings) checkCodec() error {
	c, err := hadoopcodec.Find(s.codec)
	switch {
	case err != nil:
	case s.fileType == dataStream && c != hadoopcodec.None:
		err = errors.New("a DataStream is not compressed; did you mean hdfs.fileType = CompressedStream?")
	case s.fileType == compressedStream && c == hadoopcodec.None:
		err = errors.New("a CompressedStream needs a codec, such as gzip")
	}
	if err != nil {
		return conf.At("hdfs.codeC", err)
	}
	s.compression = c
	return nil
}

// measure is how the end of the last whole record of the sink's files is found.
func (s *Settings) measure() measure {
	switch {
	case s.fileType == sequenceFile:
		return sequences
	case s.fileType == compressedStream:
		return measure(s.compression.String())
	case !s.serializer.Reopens():
		return containers
	case s.serializer.Newline:
		return lines
	}
	return asIs
}
