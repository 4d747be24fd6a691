package oracle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
)

// A Receiver is the Avro source at a flow's end: what Avro sinks send goes into the ledger. It takes as much as it is
// told to, as slowly as it is told to.
type Receiver struct {
	Arrivals
	listener net.Listener
	end      context.CancelFunc
	done     sync.WaitGroup

	mu       sync.Mutex
	admits   bool // whether room counts
	room     int
	pace     time.Duration
	accepted int
	largest  int
}

// errRefused is what Admit makes of a call; its sender sees FAILED.
var errRefused = errors.New("the receiver takes no more")

// Receive listens at host:port.
func Receive(address string, ledger *Ledger) (*Receiver, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("opening a receiver: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Receiver{Arrivals: Arrivals{ledger: ledger}, listener: l, end: cancel}
	r.news.Store(time.Now().UnixNano())
	server := &avrorpc.Server{Calls: r, MaxFrame: 64 << 20, Budget: rpc.NewBudget(256 << 20)}
	r.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.done.Go(func() {
				// A sink that is killed breaks its connection; what it means for events the ledger says.
				_ = server.Serve(ctx, ctx, conn)
			})
		}
	})
	return r, nil
}

// Admit lets so many more events in; a call that begins below that is taken whole, and later ones are refused.
func (r *Receiver) Admit(events int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admits, r.room = true, events
}

// AdmitAll lets everything in again.
func (r *Receiver) AdmitAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admits = false
}

// Full reports whether it lets nothing more in.
func (r *Receiver) Full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.admits && r.room <= 0
}

// Pace is how long each call waits for its answer from now on.
func (r *Receiver) Pace(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace = d
}

// Accepted is how many events were let in, those that came again among them; largest is the most of one call.
func (r *Receiver) Accepted() (events, largest int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted, r.largest
}

// Append implements avrorpc.Calls.
func (r *Receiver) Append(ctx context.Context, b flume.Batch) error { return r.AppendBatch(ctx, b) }

// AppendBatch implements avrorpc.Calls.
func (r *Receiver) AppendBatch(ctx context.Context, b flume.Batch) error {
	pace, err := r.enter(len(b))
	if err != nil {
		return err
	}
	for _, e := range b {
		event := Record{Body: e.Body}
		if r.ledger.load.Headers != nil {
			event.Headers = make(map[string]string, len(e.Headers))
			for _, h := range e.Headers {
				event.Headers[h.Key] = h.Value
			}
		}
		r.ledger.Saw(event)
	}
	r.came()
	if pace > 0 {
		select {
		case <-time.After(pace):
		case <-ctx.Done():
		}
	}
	return nil
}

func (r *Receiver) enter(events int) (time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.admits && r.room <= 0 {
		return 0, errRefused
	}
	r.room -= events
	r.accepted += events
	r.largest = max(r.largest, events)
	return r.pace, nil
}

// Close ends listening and all connections.
func (r *Receiver) Close() {
	r.end()
	_ = r.listener.Close()
	r.done.Wait()
}
