package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A flow produces numbered events and counts those that arrive. A body is "RUN 00000042 xxx…"; what bears the name of
// another run is not counted.
type flow struct {
	o      *Options
	client *kgo.Client
	run    string
	sent   chan sent
	seen   []bool // by number; touched by watch alone
	out    int
	twice  int
}

// sent is how many events the broker has acknowledged so far.
type sent struct {
	n   int
	err error
}

// openFlow makes the topics and the group ready: agent A begins with the first event of this run, although its
// configuration asks for the newest ones only, because the group's position is committed here before the agent joins.
func openFlow(ctx context.Context, o *Options) (*flow, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(o.Brokers...), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	f := &flow{o: o, client: client, run: strconv.FormatInt(time.Now().UnixMilli(), 36), sent: make(chan sent, 1), seen: make([]bool, o.Events)}
	if err := f.prepare(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return f, nil
}

func (f *flow) close() { f.client.Close() }

func (f *flow) prepare(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	admin := kadm.NewClient(f.client)
	created, err := admin.CreateTopics(ctx, -1, -1, nil, topicIn, topicOut)
	if err != nil {
		return fmt.Errorf("creating the topics at %s: %w", strings.Join(f.o.Brokers, ","), err)
	}
	for _, t := range created.Sorted() {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", t.Topic, t.Err)
		}
	}
	var ends kadm.ListedOffsets
	if err := insist(ctx, func() (err error) {
		if ends, err = admin.ListEndOffsets(ctx, topicIn, topicOut); err != nil {
			return err
		}
		return ends.Error()
	}); err != nil {
		return fmt.Errorf("asking for the ends of the topics: %w", err)
	}
	position := ends.Offsets()
	begin := map[string]map[int32]kgo.Offset{topicOut: {}}
	for partition, end := range position[topicOut] {
		begin[topicOut][partition] = kgo.NewOffset().At(end.At)
	}
	f.client.AddConsumePartitions(begin)
	position.KeepFunc(func(o kadm.Offset) bool { return o.Topic == topicIn })
	var committed kadm.OffsetResponses
	if err := insist(ctx, func() (err error) {
		committed, err = admin.FetchOffsets(ctx, group)
		return err
	}); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("asking for the position of group %s: %w", group, err)
	}
	// A group that has been here before goes on where it was.
	position.KeepFunc(func(o kadm.Offset) bool {
		_, known := committed.Lookup(o.Topic, o.Partition)
		return !known
	})
	if len(position) == 0 {
		return nil
	}
	if err := insist(ctx, func() error { return admin.CommitAllOffsets(ctx, group, position) }); err != nil {
		return fmt.Errorf("setting the position of group %s: %w", group, err)
	}
	return nil
}

// insist asks again while a broker is not ready yet: new topics have no leader for a moment, a new Kafka no coordinator.
func insist(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// produce sends all events, evenly over the time given.
func (f *flow) produce(ctx context.Context) {
	const tick = 20 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	filler := bytes.Repeat([]byte{'x'}, f.o.Size)
	began, n := time.Now(), 0
	for n < f.o.Events {
		due := min(f.o.Events, 1+int(float64(f.o.Events)*float64(time.Since(began))/float64(f.o.Over)))
		records := make([]*kgo.Record, 0, due-n)
		for i := n; i < due; i++ {
			body := fmt.Appendf(make([]byte, 0, f.o.Size), "%s %08d ", f.run, i)
			body = append(body, filler[:max(0, f.o.Size-len(body))]...)
			records = append(records, &kgo.Record{Topic: topicIn, Value: body})
		}
		if err := f.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			f.tell(sent{n, fmt.Errorf("producing: %w", err)})
			return
		}
		n = due
		f.tell(sent{n, nil})
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// tell replaces what was said before and not heard yet.
func (f *flow) tell(s sent) {
	select {
	case <-f.sent:
	default:
	}
	f.sent <- s
}

// arrived are the records of one poll.
type arrived struct {
	values [][]byte
	err    error
}

func (f *flow) consume(ctx context.Context, to chan<- arrived) {
	for {
		fetches := f.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		var a arrived
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) {
				a.err = fmt.Errorf("consuming: %w", err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { a.values = append(a.values, r.Value) })
		select {
		case to <- a:
		case <-ctx.Done():
			return
		}
	}
}

// watch counts until everything has arrived and nothing follows. Half way it calls interrupt.
func (f *flow) watch(ctx context.Context, interrupt func() error, agents ...*process) (result Result, err error) {
	ctx, stop := context.WithCancel(ctx)
	producing, consuming := make(chan struct{}), make(chan struct{})
	poll := make(chan arrived)
	go func() { defer close(producing); f.produce(ctx) }()
	go func() { defer close(consuming); f.consume(ctx, poll) }()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	began, last := time.Now(), time.Now()
	var in int
	var interrupted chan error // nil until half way
	restarting := false
	defer func() {
		stop()
		<-producing
		<-consuming
		if restarting {
			err = errors.Join(err, <-interrupted)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return Result{}, ctx.Err()
		case s := <-f.sent:
			in = s.n
			if s.err != nil {
				return Result{}, s.err
			}
		case a := <-poll:
			if a.err != nil {
				return Result{}, a.err
			}
			if f.count(a.values) {
				last = time.Now()
			}
			if interrupted == nil && f.out >= f.o.Events/2 {
				interrupted, restarting = make(chan error, 1), true
				go func() { interrupted <- interrupt() }()
			}
		case err := <-interrupted:
			if err != nil {
				return Result{}, err
			}
			restarting, last = false, time.Now()
		case <-second.C:
			if time.Since(last) < time.Second || in < f.o.Events || restarting {
				fmt.Fprintf(f.o.Out, "%4ds  in %9s  out %9s\n", int(time.Since(began).Seconds()+0.5), thousands(in), thousands(f.out))
			}
			if restarting {
				continue
			}
			for _, p := range agents {
				if err := p.alive(); err != nil {
					return Result{}, err
				}
			}
			r := Result{In: in, Out: f.out, Lost: in - f.out, Duplicates: f.twice}
			// Duplicates come late: a sender tries again what its receiver may have had.
			if in == f.o.Events && (r.Lost == 0 && time.Since(last) > 2*time.Second || time.Since(last) > f.o.Patience) {
				return r, nil
			}
		}
	}
}

// count marks events as seen; it reports whether one of them was new.
func (f *flow) count(values [][]byte) (fresh bool) {
	for _, v := range values {
		rest, ok := bytes.CutPrefix(v, []byte(f.run+" "))
		if !ok || len(rest) < 8 {
			continue
		}
		n, err := strconv.Atoi(string(rest[:8]))
		if err != nil || n >= len(f.seen) {
			continue
		}
		if f.seen[n] {
			f.twice++
			continue
		}
		f.seen[n] = true
		f.out++
		fresh = true
	}
	return fresh
}
