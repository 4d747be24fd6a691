package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
)

// A Sender sends batches of records and learns the fate of each. Batches may be sent side by side.
type Sender struct {
	log   *slog.Logger
	cl    *kgo.Client
	limit time.Duration // for a record to be acknowledged
	most  int           // bytes of a record

	mu     sync.Mutex
	limits map[string]int // bytes under way at once for a topic whose broker has refused more
}

// OpenSender opens a producer. Where the cluster does not allow the idempotent one and the file does not ask for it by
// name, it opens the other, and says so.
func (c *Client) OpenSender(ctx context.Context, brokers []string, name string, log *slog.Logger) (*Sender, error) {
	cl, err := c.Open(ctx, brokers, name, log)
	if err != nil {
		return nil, err
	}
	if is, asked := c.Idempotent(); is && !asked {
		err := allowed(ctx, cl)
		if errors.Is(err, kerr.ClusterAuthorizationFailed) {
			log.Warn("the cluster does not allow the idempotent producer; sending without, so that a record can come twice when a broker fails (kafka.producer.enable.idempotence = false says so)")
			cl.Close()
			if cl, err = c.WithoutIdempotence().Open(ctx, brokers, name, log); err != nil {
				return nil, err
			}
		} else if err != nil {
			cl.Close()
			return nil, fmt.Errorf("asking Kafka for a producer id: %w", err)
		}
	}
	return &Sender{log: log, cl: cl, limit: c.DeliveryTimeout(), most: c.Largest()}, nil
}

// allowed asks for the id that an idempotent producer needs.
func allowed(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _, err := cl.ProducerID(ctx)
	return err
}

// Close gives up what is under way.
func (s *Sender) Close() { s.cl.Close() }

// Send sends the records of a batch, of each event one, but for those of events that are rejected already, and waits for
// every answer. place is asked again for the partition of what has to be sent once more. Nil: all are acknowledged; else
// it is what flume.Sink says of Deliver, and the client may hold on to the records.
func (s *Sender) Send(ctx context.Context, place *Place, b flume.Batch, records []kgo.Record, rejected []flume.Rejected) error {
	v := voyage{place: place, batch: b, records: records}
	for _, r := range rejected {
		v.settle(r.Index, refusal{error: r.Err})
	}
	if err := s.sendAll(ctx, &v); err != nil {
		return err
	}
	if len(v.fates) == 0 {
		return nil
	}
	return v.outcome()
}

// A voyage is one batch on its way. What has a fate was not delivered.
type voyage struct {
	place   *Place
	batch   flume.Batch
	records []kgo.Record
	fates   map[int]error // by index; nil while all goes well
}

// refusal is the fate of what can never be sent; any other error's is to be offered again.
type refusal struct {
	error
	byTopic bool // its batch was more than the topic's max.message.bytes
}

func final(fate error) bool {
	var r refusal
	return errors.As(fate, &r)
}

func (v *voyage) settle(i int, fate error) {
	if v.fates == nil {
		v.fates = map[int]error{}
	}
	v.fates[i] = fate
}

// outcome is what Deliver returns.
func (v *voyage) outcome() error {
	e := &flume.PartialError{InOrder: true}
	for i, fate := range v.fates {
		var r refusal
		if errors.As(fate, &r) {
			e.Rejected = append(e.Rejected, flume.Rejected{Index: i, Err: r.error})
		} else {
			e.Pending = append(e.Pending, i)
		}
	}
	slices.SortFunc(e.Rejected, func(a, b flume.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	slices.Sort(e.Pending)
	if len(e.Pending) > 0 {
		e.Err = v.fates[e.Pending[0]]
		if len(e.Pending) == len(v.batch) {
			return e.Err
		}
	}
	return e
}

// sendAll sends every record that has no fate yet. The error means that ctx has ended, and nobody knows what arrived.
func (s *Sender) sendAll(ctx context.Context, v *voyage) error {
	limits := s.learned()
	if len(limits) == 0 && v.fates == nil {
		return s.send(ctx, v, nil)
	}
	held := map[string]error{} // topics with records that were not acknowledged: none may overtake them
	for _, list := range rounds(v, limits) {
		list = slices.DeleteFunc(list, func(i int) bool {
			err := held[v.records[i].Topic]
			if err != nil {
				v.settle(i, err)
			}
			return err != nil
		})
		if len(list) == 0 {
			continue
		}
		if err := s.send(ctx, v, list); err != nil {
			return err
		}
		for _, i := range list {
			if fate := v.fates[i]; fate != nil && !final(fate) {
				held[v.records[i].Topic] = fate
			}
		}
	}
	return nil
}

// rounds says what is under way at once, one round after the other: all in the first, but for topics that take little,
// which have as much in each as they take.
func rounds(v *voyage, limits map[string]int) [][]int {
	type filling struct{ round, bytes int }
	at := map[string]filling{}
	rounds := [][]int{nil}
	for i := range v.records {
		if v.fates[i] != nil {
			continue
		}
		r := &v.records[i]
		round := 0
		if limit, ok := limits[r.Topic]; ok {
			f, w := at[r.Topic], Weight(r)
			if f.bytes > 0 && f.bytes+w > limit {
				f = filling{round: f.round + 1}
			}
			f.bytes += w
			at[r.Topic], round = f, f.round
		}
		if round == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[round] = append(rounds[round], i)
	}
	return rounds
}

// send sends the records of the list, nil for all, and finds those that make a broker refuse their batch.
func (s *Sender) send(ctx context.Context, v *voyage, list []int) error {
	refused, err := s.ship(ctx, v, list)
	if err != nil || len(refused) == 0 {
		return err
	}
	s.learn(ctx, v, refused)
	return s.isolate(ctx, v, refused)
}

// isolate sends what was refused together in ever smaller parts, one after the other. What is refused alone is refused
// for good.
func (s *Sender) isolate(ctx context.Context, v *voyage, list []int) error {
	parts := [][]int{list}
	if n := len(list); n > 1 {
		parts = [][]int{list[:n/2], list[n/2:]}
	}
	for _, part := range parts {
		for _, i := range part {
			r := &v.records[i]
			*r = kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
			if err := v.place.Put(r, &v.batch[i]); err != nil {
				panic("BUG: an event that was rejected is sent")
			}
			delete(v.fates, i)
		}
		refused, err := s.ship(ctx, v, part)
		if err != nil {
			return err
		}
		if len(part) == 1 || len(refused) == 0 {
			continue
		}
		if err := s.isolate(ctx, v, refused); err != nil {
			return err
		}
	}
	return nil
}

// A round is what is under way at once. The client calls its promise for one record after the other.
type round struct {
	left   int
	done   chan struct{}
	end    context.CancelFunc // of what waits for the client
	failed []failure
}

type failure struct {
	record *kgo.Record
	err    error
}

func (r *round) promise(record *kgo.Record, err error) {
	if err != nil {
		r.failed = append(r.failed, failure{record, err})
	}
	if r.left--; r.left == 0 {
		close(r.done)
		r.end()
	}
}

// ship sends the records of the list, nil for all, and waits for every answer. It returns, in order, those that a
// broker has refused, maybe for another one's sake; their fate is the refusal until they are sent again.
func (s *Sender) ship(ctx context.Context, v *voyage, list []int) (refused []int, err error) {
	n := len(list)
	if list == nil {
		n = len(v.records)
	}
	r := &round{left: n, done: make(chan struct{})}
	timed, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	flushing, flushed := context.WithCancel(ctx) // ends with this round: others may keep the client busy for ever
	defer flushed()
	r.end = flushed
	promise := r.promise
	for k := range n {
		i := k
		if list != nil {
			i = list[k]
		}
		s.cl.Produce(timed, &v.records[i], promise)
	}
	_ = s.cl.Flush(flushing) // the answers say what came of it
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("sending to Kafka: %w", context.Cause(ctx))
	}
	if len(r.failed) == 0 {
		return nil, nil
	}
	index := make(map[*kgo.Record]int, len(v.records))
	for i := range v.records {
		index[&v.records[i]] = i
	}
	var gone []string
	for _, f := range r.failed {
		i := index[f.record]
		topic := f.record.Topic
		switch {
		case refusedByBroker(f.err):
			refused = append(refused, i)
			v.settle(i, s.tooLarge(f.record, f.err))
		case hopeless(f.err):
			v.settle(i, refusal{error: fmt.Errorf("sending to topic %s: %w", topic, f.err)})
		default:
			if errors.Is(f.err, kerr.UnknownTopicID) {
				gone = append(gone, topic)
			}
			if errors.Is(f.err, context.DeadlineExceeded) {
				f.err = fmt.Errorf("it was not acknowledged within kafka.producer.delivery.timeout.ms, %v: %w", s.limit, f.err)
			}
			v.settle(i, fmt.Errorf("sending to topic %s: %w", topic, f.err))
		}
	}
	slices.Sort(refused)
	if len(gone) > 0 {
		slices.Sort(gone)
		s.cl.PurgeTopicsFromProducing(slices.Compact(gone)...) // made anew: the client would know the old one for ever
	}
	return refused, nil
}

// tooLarge says what is wrong with a record that is refused alone.
func (s *Sender) tooLarge(r *kgo.Record, err error) refusal {
	n := Weight(r)
	switch {
	case !errors.Is(err, kerr.MessageTooLarge):
		return refusal{error: fmt.Errorf("sending to topic %s: %w", r.Topic, err)}
	case n > s.most:
		return refusal{error: fmt.Errorf("sending to topic %s: a record of %d bytes is more than kafka.producer.max.request.size, which is %d: %w", r.Topic, n, s.most, err)}
	}
	return refusal{error: fmt.Errorf("sending to topic %s: a record of %d bytes is more than the topic's max.message.bytes: %w", r.Topic, n, err), byTopic: true}
}

// refusedByBroker reports errors that a batch gets for one of its records.
func refusedByBroker(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// hopeless reports errors that no repetition cures. The client has no error value for a partition that is not there.
func hopeless(err error) bool {
	return errors.Is(err, kerr.InvalidTopicException) || strings.Contains(err.Error(), "invalid record partitioning choice")
}

// learned is what is known of topics that take little. It does not change any more.
func (s *Sender) learned() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

// mostLimits is how many topics are remembered that take little. Headers may name any number of them.
const mostLimits = 500

// learn finds out how much the topics of refused batches take, so that the next batches are not refused too.
func (s *Sender) learn(ctx context.Context, v *voyage, refused []int) {
	type share struct{ records, bytes int }
	shares := map[string]share{}
	for _, i := range refused {
		var why refusal
		if r := &v.records[i]; errors.As(v.fates[i], &why) && why.byTopic {
			was := shares[r.Topic]
			shares[r.Topic] = share{was.records + 1, was.bytes + Weight(r)}
		}
	}
	maps.DeleteFunc(shares, func(_ string, sh share) bool { return sh.records == 1 })
	if len(shares) == 0 {
		return
	}
	topics := slices.Sorted(maps.Keys(shares))
	configs, err := kadm.NewClient(s.cl).DescribeTopicConfigs(ctx, topics...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = maps.Clone(s.limits)
	for _, topic := range topics {
		limit := shares[topic].bytes / 2
		if err == nil {
			if n, ok := maxMessage(configs, topic); ok {
				limit = n
			}
		}
		if was, ok := s.limits[topic]; ok && was <= limit {
			continue
		}
		if s.limits == nil || len(s.limits) >= mostLimits {
			s.limits = map[string]int{}
		}
		s.limits[topic] = limit
		s.log.Warn("a topic takes smaller batches than kafka.producer.max.request.size; sending it less at once (set that to the topic's max.message.bytes)",
			"topic", topic, "bytes", limit, "max.request.size", s.most)
	}
}

func maxMessage(configs kadm.ResourceConfigs, topic string) (int, bool) {
	c, err := configs.On(topic, nil)
	if err != nil || c.Err != nil {
		return 0, false
	}
	for _, e := range c.Configs {
		if e.Key == "max.message.bytes" && e.Value != nil {
			n, err := strconv.Atoi(*e.Value)
			return n, err == nil && n > 0
		}
	}
	return 0, false
}
