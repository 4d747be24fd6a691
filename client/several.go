package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/turns"
)

// A Sender is any of the clients: [Client], [Failover], [LoadBalancer].
type Sender interface {
	Append(ctx context.Context, e flume.Event) error
	AppendBatch(ctx context.Context, b flume.Batch) error
	Close() error
}

// openAll opens a client for each receiver.
func openAll(receivers []Options) ([]*Client, error) {
	clients := make([]*Client, len(receivers))
	for i, o := range receivers {
		var err error
		if clients[i], err = Open(o); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// carryAll refuses events that a call to one of the receivers cannot carry.
func carryAll(clients []*Client, b flume.Batch) error {
	for _, c := range clients {
		if err := c.carries(b); err != nil {
			return err
		}
	}
	return nil
}

func closeAll(clients []*Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// A delivery is a batch on its way through several receivers. What one has stored the next does not get.
type delivery struct {
	ctx       context.Context
	b         flume.Batch
	one       bool // by Append
	delivered int
	err       error
}

// to sends what is left to one receiver. True: there is nothing more to do; err says how it ended.
func (d *delivery) to(c *Client) bool {
	if d.one {
		d.err = c.Append(d.ctx, d.b[0])
	} else {
		d.err = c.AppendBatch(d.ctx, d.b[d.delivered:])
	}
	var part *BatchError
	if errors.As(d.err, &part) {
		d.delivered += part.Delivered
		d.err = part.Err
	}
	// What is wrong with the events, or with this client, is not the receiver's fault.
	return d.err == nil || d.ctx.Err() != nil || errors.Is(d.err, ErrTooLarge) || errors.Is(d.err, ErrClosed)
}

func (d *delivery) result() error {
	if d.err != nil && d.delivered > 0 {
		return &BatchError{d.delivered, d.err}
	}
	return d.err
}

// A Failover sends to one receiver as long as that works, and then to the next: Flume's default_failover.
//
// A receiver that refuses events or does not answer is left for the next one, in their order and around; there is no way
// back to the first but around. Up to max-attempts receivers get a batch (those that cannot be reached do not count, but
// when none can be reached the batch has failed). What one has stored before it failed the next does not get; an answer
// that never came leaves that open, so events may be stored twice.
type Failover struct {
	clients  []*Client
	attempts int

	mu sync.Mutex
	at int // the receiver in use
}

// OpenFailover makes a client of receivers, the first of which is used first. maxAttempts is the most receivers that get
// one batch; 0: each once.
func OpenFailover(maxAttempts int, receivers ...Options) (*Failover, error) {
	if len(receivers) == 0 {
		return nil, errors.New("opening a failover client: there is no receiver")
	}
	if maxAttempts < 1 {
		maxAttempts = len(receivers)
	}
	clients, err := openAll(receivers)
	if err != nil {
		return nil, err
	}
	return &Failover{clients: clients, attempts: maxAttempts}, nil
}

// Append sends one event.
func (f *Failover) Append(ctx context.Context, e flume.Event) error {
	return f.deliver(&delivery{ctx: ctx, b: flume.Batch{e}, one: true})
}

// AppendBatch sends b, which stays the caller's. An error after a part of it was delivered is a [BatchError].
func (f *Failover) AppendBatch(ctx context.Context, b flume.Batch) error {
	return f.deliver(&delivery{ctx: ctx, b: b})
}

func (f *Failover) carries(b flume.Batch) error { return carryAll(f.clients, b) }

func (f *Failover) deliver(d *delivery) error {
	unreached := 0 // one after the other
	for attempts := 0; attempts < f.attempts && unreached < len(f.clients); {
		at := f.current()
		before := d.delivered
		if d.to(f.clients[at]) {
			break
		}
		f.leave(at)
		if d.delivered == before && errors.As(d.err, new(*connectError)) {
			unreached++
			continue
		}
		unreached = 0
		attempts++
	}
	return d.result()
}

func (f *Failover) current() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

// leave goes on to the next receiver, unless another call has done so already.
func (f *Failover) leave(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == at {
		f.at = (at + 1) % len(f.clients)
	}
}

// Close ends the calls under way and the connections.
func (f *Failover) Close() error { return closeAll(f.clients) }

// An Order is how a [LoadBalancer] chooses: each receiver in its turn, or one by chance.
type Order = turns.Order

// The orders of Flume.
const (
	RoundRobin = turns.RoundRobin
	Random     = turns.Random
)

// Balance says how a [LoadBalancer] chooses. The zero value is Flume's default: each in its turn, and none is left out.
type Balance struct {
	Order      Order         // empty: RoundRobin
	Backoff    bool          // leave out a receiver that fails: for 2 s, 4 s, 8 s …
	MaxBackoff time.Duration // … and no longer than this; 0: 30 s
}

// A LoadBalancer sends each batch to one of several receivers in turn: Flume's default_loadbalance. What one does not take
// goes to the next. Batches keep no order among them.
type LoadBalancer struct {
	clients []*Client

	mu       sync.Mutex
	balancer *turns.Balancer
	last     error // of the receiver that failed last
}

// OpenLoadBalancer makes a client of two receivers or more.
func OpenLoadBalancer(how Balance, receivers ...Options) (*LoadBalancer, error) {
	if len(receivers) < 2 {
		return nil, fmt.Errorf("opening a load-balancing client: it needs two receivers at least, and has %d", len(receivers))
	}
	clients, err := openAll(receivers)
	if err != nil {
		return nil, err
	}
	most := how.MaxBackoff
	switch {
	case !how.Backoff:
		most = 0
	case most <= 0:
		most = turns.Usual
	}
	return &LoadBalancer{clients: clients, balancer: turns.NewBalancer(len(clients), how.Order, most)}, nil
}

// Append sends one event.
func (l *LoadBalancer) Append(ctx context.Context, e flume.Event) error {
	return l.deliver(&delivery{ctx: ctx, b: flume.Batch{e}, one: true})
}

// AppendBatch sends b, which stays the caller's. An error after a part of it was delivered is a [BatchError].
func (l *LoadBalancer) AppendBatch(ctx context.Context, b flume.Batch) error {
	return l.deliver(&delivery{ctx: ctx, b: b})
}

func (l *LoadBalancer) carries(b flume.Batch) error { return carryAll(l.clients, b) }

func (l *LoadBalancer) deliver(d *delivery) error {
	l.mu.Lock()
	turn, last := l.balancer.Turn(time.Now()), l.last
	l.mu.Unlock()
	if len(turn.In) == 0 {
		return fmt.Errorf("every receiver is left out for a while after a failure, of which the last was: %w", last)
	}
	for _, i := range turn.In {
		if d.to(l.clients[i]) {
			break
		}
		l.mu.Lock()
		l.balancer.Failed(i, time.Now())
		l.last = d.err
		l.mu.Unlock()
	}
	return d.result()
}

// Close ends the calls under way and the connections.
func (l *LoadBalancer) Close() error { return closeAll(l.clients) }
