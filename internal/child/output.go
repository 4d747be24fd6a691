package child

import (
	"io"
	"sync"
	"time"
)

// Deadlined is a stream that can be read for a time, as a pipe or a connection.
type Deadlined interface {
	io.ReadCloser
	SetReadDeadline(t time.Time) error
}

// An Output is what a program prints. One goroutine reads it; another one may finish it.
type Output struct {
	from Deadlined

	mu       sync.Mutex
	finished bool
	left     int // bytes that are read after that, at most
}

const (
	lastRead = 100 * time.Millisecond // how long one who has left the group is waited for
	pipeMost = 1 << 20                // what a pipe can hold, and more
)

// NewOutput reads from.
func NewOutput(from Deadlined) *Output { return &Output{from: from, left: pipeMost} }

// Read waits until then at most, with os.ErrDeadlineExceeded; zero: as long as it takes.
func (o *Output) Read(b []byte, until time.Time) (int, error) {
	o.mu.Lock()
	if o.finished {
		if o.left <= 0 {
			o.mu.Unlock()
			return 0, io.EOF
		}
		until = time.Now().Add(lastRead)
	}
	err := o.from.SetReadDeadline(until)
	o.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := o.from.Read(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		o.left -= n
	}
	return n, err
}

// Finish says that nobody of the group writes any more: what is in the pipe can be read, and then nothing is waited for.
func (o *Output) Finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	_ = o.from.SetReadDeadline(time.Now()) // to wake the reader, who looks again
}

// Finished reports whether Finish was called: a deadline that has passed is the end then.
func (o *Output) Finished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.finished
}

// Close closes the pipe.
func (o *Output) Close() error { return o.from.Close() }
