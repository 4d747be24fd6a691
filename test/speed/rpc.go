package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
)

// A client sends the same batch again and again over several connections, one call outstanding on each. Its frames are
// encoded once, so that it costs little beside the agent on the same machine.
type client struct {
	batch    int
	greeting []byte // a whole first call, with the handshake
	frame    []byte // a whole later call
	acked    atomic.Int64

	mu   sync.Mutex
	took []time.Duration // from sending a call to its answer, of all calls
	err  error

	conns []net.Conn
	done  sync.WaitGroup
	end   atomic.Bool
}

// newClient records what Sluice's client sends to address in its first two calls.
func newClient(ctx context.Context, address string, batch flume.Batch) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	rec := &recorder{Conn: conn}
	c, err := avrorpc.NewConn(ctx, rec, avrorpc.Wrapping{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for range 2 {
		if err := c.AppendBatch(ctx, batch); err != nil {
			return nil, fmt.Errorf("recording a call: %w", err)
		}
	}
	if len(rec.frames) != 2 {
		return nil, fmt.Errorf("recording a call: two calls are %d frames", len(rec.frames))
	}
	return &client{batch: len(batch), greeting: rec.frames[0], frame: rec.frames[1]}, nil
}

type recorder struct {
	net.Conn
	frames [][]byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.frames = append(r.frames, bytes.Clone(p))
	return r.Conn.Write(p)
}

// start begins to send over so many connections, until stop or an error.
func (c *client) start(address string, connections int) error {
	c.end.Store(false)
	c.took, c.err = nil, nil
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
		c.done.Go(func() {
			took, err := c.send(conn)
			c.mu.Lock()
			c.took = append(c.took, took...)
			c.err = errors.Join(c.err, err)
			c.mu.Unlock()
		})
	}
	return nil
}

func (c *client) send(conn net.Conn) ([]time.Duration, error) {
	in := bufio.NewReaderSize(conn, 4096)
	next, plain := c.greeting, false
	var took []time.Duration
	for !c.end.Load() {
		begun := time.Now()
		if _, err := conn.Write(next); err != nil {
			return took, fmt.Errorf("sending: %w", err)
		}
		if err := answer(in, plain); err != nil {
			return took, fmt.Errorf("waiting for an answer: %w", err)
		}
		took = append(took, time.Since(begun))
		c.acked.Add(int64(c.batch))
		next, plain = c.frame, true
	}
	return took, nil
}

// stop lets the calls under way come to their ends. It returns how long calls took, sorted.
func (c *client) stop() ([]time.Duration, error) {
	c.end.Store(true)
	c.done.Wait()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
	slices.Sort(c.took)
	return c.took, c.err
}

// answer reads a frame. Behind the handshake it must be: no meta, no error, OK.
func answer(in *bufio.Reader, plain bool) error {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	var payload []byte
	for range binary.BigEndian.Uint32(head[4:]) {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > 1<<20 {
			return fmt.Errorf("a buffer of %d bytes", n)
		}
		at := len(payload)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(in, payload[at:]); err != nil {
			return err
		}
	}
	good := []byte{0, 0, 0}
	if plain && !bytes.Equal(payload, good) || !bytes.HasSuffix(payload, good) {
		return fmt.Errorf("the agent did not say OK: %x", payload)
	}
	return nil
}

// quantile of what is sorted, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Seconds() * 1e3
}
