package oracle

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
)

// A Sender writes one lane of a load to an Avro source, over a connection of its own that is made again whenever it has
// broken. One goroutine at a time uses it.
//
// What was sent and not acknowledged is never sent again: the next call has the next numbers. So whatever comes out
// twice was doubled by the flow.
type Sender struct {
	ledgers []*Ledger
	lane    int
	next    atomic.Int64
	client  *client.Client
}

// mostBatch bounds a call, so that it is never cut in two.
const mostBatch = 1 << 20

// NewSender makes the sender of a lane to host:port. What is acknowledged stands in all the ledgers, one for each end of
// the flow.
func NewSender(address string, lane int, ledgers ...*Ledger) (*Sender, error) {
	c, err := client.Open(client.Options{Address: address, BatchSize: mostBatch, ConnectTimeout: 5 * time.Second, RequestTimeout: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Sender{ledgers: ledgers, lane: lane, client: c}, nil
}

// Send sends the lane's next events in one call. Nil: they are acknowledged, and the ledgers know.
func (s *Sender) Send(ctx context.Context, events int) error {
	load := s.ledgers[0].Load()
	b := make(flume.Batch, events)
	first := int(s.next.Add(int64(events))) - events
	for i := range b {
		number := first + i
		b[i].Body = load.Body(make([]byte, 0, load.Size), s.lane, number)
		if load.Stamp {
			b[i].Headers = flume.Headers{
				{Key: "origin", Value: load.Run},
				{Key: "number", Value: strconv.Itoa(s.lane) + "/" + strconv.Itoa(number)},
			}
		}
	}
	if err := s.client.AppendBatch(ctx, b); err != nil {
		return err
	}
	for _, ledger := range s.ledgers {
		for i := range b {
			ledger.Acked(s.lane, first+i, -1)
		}
	}
	return nil
}

// Sent is how many events have been sent, acknowledged or not.
func (s *Sender) Sent() int { return int(s.next.Load()) }

// Close ends the connection.
func (s *Sender) Close() error { return s.client.Close() }
