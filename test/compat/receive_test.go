//go:build interop

package compat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A receiver is what the agents' Avro sinks send to.
type receiver struct {
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	events map[output][]flume.Event
}

// An output is one sink of an agent.
type output struct{ side, lane, out int }

func newReceiver(t *testing.T) *receiver {
	r := &receiver{events: map[output][]flume.Event{}}
	r.ctx, r.cancel = context.WithCancel(t.Context())
	t.Cleanup(r.close)
	return r
}

func (r *receiver) close() { r.cancel() }

// listen opens the port for one sink and returns its address.
func (r *receiver) listen(t *testing.T, side, lane, out int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(r.ctx, func() { l.Close() })
	server := &avrorpc.Server{Calls: &calls{r, output{side, lane, out}}, MaxFrame: 64 << 20, Budget: rpc.NewBudget(512 << 20)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go server.Serve(r.ctx, r.ctx, conn)
		}
	}()
	return l.Addr().String()
}

// calls takes the events of one sink.
type calls struct {
	receiver *receiver
	output   output
}

func (c *calls) Append(ctx context.Context, b flume.Batch) error { return c.AppendBatch(ctx, b) }

func (c *calls) AppendBatch(_ context.Context, b flume.Batch) error {
	c.receiver.mu.Lock()
	defer c.receiver.mu.Unlock()
	for _, e := range b {
		to := c.output
		if to.lane == shared {
			name, _ := e.Headers.Get(mark)
			n, err := strconv.Atoi(name)
			if err != nil {
				return fmt.Errorf("an event of no lane: %q", name)
			}
			e.Headers = slices.Clone(e.Headers)
			e.Headers.Delete(mark)
			to.lane = n
		}
		c.receiver.events[to] = append(c.receiver.events[to], e)
	}
	return nil
}

func (r *receiver) received(side, lane, out int) []flume.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[output{side, lane, out}]
}

// text is an event as it is compared: its headers sorted.
func text(e flume.Event, window span) string {
	headers := make([]string, len(e.Headers))
	for i, h := range e.Headers {
		headers[i] = strconv.Quote(h.Key) + "=" + strconv.Quote(window.tidy(h.Value))
	}
	slices.Sort(headers)
	return fmt.Sprintf("{%s} %q", strings.Join(headers, " "), e.Body)
}

// sendAvro feeds events to an Avro source, in calls of at most so many. What it is told is the status of each call.
func sendAvro(b flume.Batch, size int) func(ctx context.Context, p place) ([]string, error) {
	return func(ctx context.Context, p place) ([]string, error) {
		if err := reach(ctx, p.address()); err != nil {
			return nil, err
		}
		c, err := client.Open(client.Options{Address: p.address(), BatchSize: len(b) + 1})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		var told []string
		for part := range slices.Chunk(b, size) {
			err := c.AppendBatch(ctx, part)
			status := new(client.StatusError)
			remote := new(client.RemoteError)
			switch {
			case err == nil:
				told = append(told, "OK")
			case errors.As(err, &status):
				told = append(told, "not OK")
			case errors.As(err, &remote):
				told = append(told, "error")
			default:
				return told, err
			}
		}
		return told, nil
	}
}

// reach waits until something listens at an address: Flume opens its sources behind its metrics page.
func reach(ctx context.Context, address string) error {
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// short cuts a line for the log.
func short(line string) string {
	const most = 400
	if len(line) <= most {
		return line
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(line[:most], ""), len(line))
}

// batchText is input for the log.
func batchText(b flume.Batch) string {
	var out strings.Builder
	for _, e := range b {
		out.WriteString(short(text(e, span{})) + "\n")
	}
	return out.String()
}
