package hdfs

import (
	"bytes"
	"context"
	"runtime"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/hdfs"
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
	plain serializer.File
}

// A plain format is that of a DataStream: what the serializer makes.
type plain struct{ *serializer.Serializer }

func (p plain) fit(ctx context.Context, f *shape, b flume.Batch) (int, error) {
	return p.Fit(ctx, &f.plain, b)
}

func (p plain) encode(out *bytes.Buffer, f *shape, size int64, b flume.Batch) error {
	if size == 0 {
		if err := p.Begin(out, &f.plain); err != nil {
			return err
		}
	}
	return p.Write(out, &f.plain, b)
}

// codecNames are those of Hadoop's codecs.
const codecNames = "none"

func (s *Settings) checkCodec() []error { return nil }

// formats are those that nobody uses: one for each processor, as making bytes is work.
type formats struct {
	free chan format
}

func (s *Settings) newFormats(*hdfs.Conf) (formats, error) {
	n := max(2, runtime.GOMAXPROCS(0))
	all := formats{free: make(chan format, n)}
	for range n {
		all.free <- plain{s.serializer.New()}
	}
	return all, nil
}

func (f formats) extension() string { return "" }

func (k *sink) takeFormat() format  { return <-k.formats.free }
func (k *sink) giveFormat(f format) { k.formats.free <- f }

// measure of the files of these settings.
func (s *Settings) measure() measure {
	if s.serializer.Newline {
		return lines
	}
	return asIs
}
