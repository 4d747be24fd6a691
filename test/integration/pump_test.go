//go:build interop

package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/oracle"
)

// A pump sends every lane of a load to an Avro source, each over a connection of its own, in calls of random sizes.
type pump struct {
	senders []*oracle.Sender
	stop    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	refused map[string]int // calls that were not acknowledged, by reason
}

// newPump begins to send the first lanes, in calls of at most so many events, so many events a second in all. What is acknowledged stands in
// all the ledgers.
func newPump(t *testing.T, port int, random *rand.Rand, most, rate, lanes int, ledgers ...*oracle.Ledger) *pump {
	t.Helper()
	p := &pump{stop: make(chan struct{}), refused: map[string]int{}}

	for lane := range lanes {
		s, err := oracle.NewSender(fmt.Sprintf("127.0.0.1:%d", port), lane, ledgers...)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(random.Uint64(), uint64(lane)))
		p.senders = append(p.senders, s)
		p.done.Go(func() {
			defer s.Close()
			for due := time.Now(); ; {
				events := 1 + r.IntN(most)
				if err := s.Send(t.Context(), events); err != nil {
					p.refuse(err)
				}
				// What could not be sent is not made up for.
				due = due.Add(time.Duration(events*lanes) * time.Second / time.Duration(rate))
				if now := time.Now(); due.Before(now) {
					due = now
				}
				select {
				case <-p.stop:
					return
				case <-time.After(time.Until(due)):
				}
			}
		})
	}
	t.Cleanup(p.end)
	return p
}

func (p *pump) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[err.Error()]++
}

// refusals are the reasons why calls were not acknowledged, and how often.
func (p *pump) refusals() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.refused)
}

// end stops sending and returns when the last calls are answered.
func (p *pump) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.done.Wait()
}

func (p *pump) sent() (n int) {
	for _, s := range p.senders {
		n += s.Sent()
	}
	return n
}
