package oracle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Watcher reads the flow's other end into a ledger until it is closed.
type Watcher struct {
	Arrivals
	client *kgo.Client
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Decode makes an event of a record: Plain or FlumeFormat.
type Decode func(r *kgo.Record) (Record, error)

// Plain takes the value as the body.
func Plain(r *kgo.Record) (Record, error) {
	out := Record{Key: r.Key, Body: r.Value, Headers: make(map[string]string, len(r.Headers))}
	for _, h := range r.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	return out, nil
}

// Watch begins to read a topic from its first record on.
func Watch(brokers []string, topic string, decode Decode, ledger *Ledger) (*Watcher, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MetadataMaxAge(5*time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("opening a consumer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{Arrivals: Arrivals{ledger: ledger}, client: cl, cancel: cancel}
	w.news.Store(time.Now().UnixNano())
	w.done.Go(func() { w.read(ctx, decode) })
	return w, nil
}

// read goes on through errors: a broker that is away comes back, and if it does not, events are missing.
func (w *Watcher) read(ctx context.Context, decode Decode) {
	for {
		fetches := w.client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachRecord(func(r *kgo.Record) {
			event, err := decode(r)
			if err != nil {
				event = Record{Key: r.Key, Body: r.Value} // counts as foreign
			}
			w.ledger.Saw(event)
		})
		if fetches.NumRecords() > 0 {
			w.came()
		}
	}
}

// Close ends reading.
func (w *Watcher) Close() {
	w.cancel()
	w.client.Close()
	w.done.Wait()
}
