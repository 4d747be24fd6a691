// Package shout is a sink that appends bodies in capital letters to a file, and syncs it for each batch.
package shout

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind has no class name: no old file means it.
var Kind = flume.Define[Settings, flume.Sink]("shout", "", "Appends bodies in capital letters to a file.", open)

// Settings are what the sink can be told.
type Settings struct {
	File      string
	BatchSize int
}

// Declare says each setting once.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.File, "file", "", "The file to append to.").Required()
	d.BatchSize(&s.BatchSize, "batchSize", 100, "How many events are a batch; there may be more, up to the channel's transactionCapacity.").AtLeast(1)
}

// Holds says that no other component may have the same file; check and the agent see to it.
func (s *Settings) Holds() []flume.Endpoint {
	return []flume.Endpoint{flume.Endpoint("file://" + s.File)}
}

type sink struct {
	file *os.File
	size int64 // of what is safe
	buf  []byte
}

// open returns a sink that works, or an error: then it is tried again, every three seconds.
func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	f, err := os.OpenFile(s.File, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	size, err := f.Seek(0, 2)
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("finding the end of the file: %w", err)
	}
	env.Log.Info("Appending", "file", s.File, "at", size)
	return &sink{file: f, size: size}, nil
}

// Deliver borrows the batch. Nil means that all of it is safe; with an error all of it comes again, so that what was
// written of it is taken back.
func (s *sink) Deliver(_ context.Context, b flume.Batch) error {
	s.buf = s.buf[:0]
	for i := range b {
		s.buf = append(append(s.buf, bytes.ToUpper(b[i].Body)...), '\n')
	}
	if _, err := s.file.WriteAt(s.buf, s.size); err != nil {
		return fmt.Errorf("appending %d events: %w", len(b), err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("syncing the file: %w", err)
	}
	s.size += int64(len(s.buf))
	return nil
}

// Limits is the most that one Deliver takes; zero leaves it to the channel.
func (s *sink) Limits() flume.Limits { return flume.Limits{} }

func (s *sink) Close() error { return s.file.Close() }
