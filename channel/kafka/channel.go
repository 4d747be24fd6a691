package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/kafka"
)

var errClosed = errors.New("the channel is closed")

// channel is a producer, where a source puts, and with the first Take the member of a group.
type channel struct {
	s      *Settings
	env    flume.Env
	life   context.Context // ends with Close
	end    context.CancelFunc
	sender *kafka.Sender // nil: no source puts
	place  kafka.Place
	value  kafka.Value
	room   room

	mu     sync.Mutex
	joined *joining // nil: the next Take joins

	getTimer, sendTimer, rollbacks, revoked *atomic.Int64
}

// A joining is a reader that there will be, or why there is none.
type joining struct {
	done   chan struct{} // closed when the others are set
	reader *reader
	err    error
	leave  func() error // once
}

func openChannel(ctx context.Context, s *Settings, env flume.Env) (*channel, error) {
	c := &channel{
		s: s, env: env, place: kafka.Place{Partition: int32(s.partition), Header: s.partitionHeader}, value: kafka.Value{Flume: s.parse},
		room:     room{most: s.producer.Buffer(), patience: s.producer.DeliveryTimeout()},
		getTimer: env.Counter("KafkaEventGetTimer"), sendTimer: env.Counter("KafkaEventSendTimer"),
		rollbacks: env.Counter("RollbackCount"), revoked: env.Counter("RevokedEventCount"),
	}
	if env.Filled {
		var err error
		if c.sender, err = s.producer.OpenSender(ctx, s.brokers, c.name(), env.Log); err != nil {
			return nil, err
		}
	}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	return c, nil
}

// name is what brokers know the channel's clients by.
func (c *channel) name() string { return c.env.Agent + "-" + c.env.Name }

// Remote says that a commit of events put is the sending.
func (c *channel) Remote() bool { return true }

// Take is flume.Channel's.
func (c *channel) Take(ctx context.Context, l flume.Limits) (flume.Transaction, error) {
	j, err := c.join()
	if err != nil {
		return nil, err
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		select {
		case <-j.done:
		default:
			return nil, flume.ErrEmpty
		}
	}
	if j.err != nil {
		return nil, j.err
	}
	t, err := j.reader.take(ctx, l)
	if err != nil {
		if j.reader.broken() {
			err = errors.Join(err, j.leave())
			c.forget(j)
		}
		return nil, err
	}
	return t, nil
}

// join returns the joining that is under way or over, or begins one. It does not end with who began it.
func (c *channel) join() (*joining, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, errClosed
	}
	if c.joined == nil {
		j := &joining{done: make(chan struct{})}
		c.joined = j
		go func() {
			defer close(j.done)
			if j.reader, j.err = openReader(c); j.err != nil {
				c.forget(j)
				return
			}
			j.leave = sync.OnceValue(j.reader.close)
		}()
	}
	return c.joined, nil
}

// forget makes the next Take join anew.
func (c *channel) forget(j *joining) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined == j {
		c.joined = nil
	}
}

// Close leaves the group and gives up what is being sent.
func (c *channel) Close() error {
	c.mu.Lock()
	c.end()
	j := c.joined
	c.joined = nil
	c.mu.Unlock()
	c.room.close()
	var err error
	if j != nil {
		<-j.done
		if j.err == nil {
			err = j.leave()
		}
	}
	if c.sender != nil {
		c.sender.Close()
	}
	return err
}
