package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
)

// The two ways in which events get into the channel.
const (
	throughAgent = iota
	alone
	ways
)

// Who takes turns, each way.
const (
	flumeTurn = iota
	sluiceTurn
	aheadTurn    // the bare loop that writes over fill, all writers' batches at once
	plainTurn    // the bare loop that appends, the same
	ownAheadTurn // the same two with groups as large as the channel's own
	ownPlainTurn
	turns
)

// putCase is one row of the table: so many writers at once, each with batches of 100 events of so many bytes.
type putCase struct{ writers, size int }

func (c putCase) String() string { return fmt.Sprintf("%2d × %4d B", c.writers, c.size) }

// putFigures are what a case has shown one way, a figure for each round.
type putFigures struct {
	rate    [turns][]float64 // Flume's and Sluice's: MB of bodies a second; the bare loops': MB of log a second
	cpu     [turns][]float64 // seconds of processor time for a million events
	half    [turns][]float64 // milliseconds: half of all calls were faster
	worst   [turns][]float64 // 99 of 100 calls were
	peak    [turns]float64   // memory in MB
	ofFlume []float64        // how many times as fast as Flume Sluice was in the round
	ofBare  []float64        // per cent of the round's faster bare loop that Sluice's log was
	ofOwn   []float64        // the same of the loops with groups as large as the channel's
	group   []float64        // bytes that a sync of Sluice's brought home
}

// putStage is everything that stays up during the row.
type putStage struct {
	*bench
	agents  [2]*agent
	workers [2]*worker
	clients [2]map[int]*client // by size
	rounds  int
	length  time.Duration // of a turn
}

func (b *bench) put(ctx context.Context) (err error) {
	s := &putStage{bench: b, rounds: 5, length: b.seconds(1)}
	if b.scale < 1 {
		s.rounds = 3
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	var cases []putCase
	figures := map[putCase]*[ways]putFigures{}
	groups := map[putCase]int{}
	for _, size := range []int{500, 1000} {
		batch, err := logged(ctx, filepath.Join(b.dir, "probe"), sample(100, size))
		if err != nil {
			return err
		}
		for _, writers := range []int{1, 4, 16} {
			c := putCase{writers, size}
			cases, figures[c], groups[c] = append(cases, c), new([ways]putFigures), batch*writers
			if err := s.contest(ctx, c, figures[c], batch); err != nil {
				return fmt.Errorf("%v: %w", c, err)
			}
		}
	}
	s.report(cases, figures, groups)
	return nil
}

// open starts the four and warms them up.
func (s *putStage) open(ctx context.Context) error {
	for i, sys := range systems {
		a, err := s.agent(sys, "agent-"+string(sys), true)
		if err != nil {
			return err
		}
		if _, err := a.start(ctx); err != nil {
			return err
		}
		s.agents[i], s.clients[i] = a, map[int]*client{}
		for _, size := range []int{500, 1000} {
			if s.clients[i][size], err = newClient(ctx, a.rpc, sample(100, size)); err != nil {
				return err
			}
		}
		// Room for all that a turn writes; what has been written is taken between the turns.
		if s.workers[i], err = s.worker(ctx, sys, filepath.Join(s.dir, "channel-"+string(sys)), "capacity=6000000"); err != nil {
			return err
		}
	}
	for who := range systems {
		for way := range ways {
			var f putFigures
			if err := s.turn(ctx, way, who, putCase{4, 500}, &f, s.seconds(8), nil); err != nil {
				return err
			}
		}
	}
	s.note("warmed up; load average %s", load())
	return nil
}

func (s *putStage) close() error {
	var errs []error
	for i, sys := range systems {
		if a := s.agents[i]; a != nil {
			errs = append(errs, a.end(os.Interrupt))
		}
		if w := s.workers[i]; w != nil {
			peak, err := w.close()
			errs = append(errs, err)
			s.note("%s's channel alone: %.0f MB resident at most", sys, peak)
		}
	}
	return errors.Join(errs...)
}

// contest lets all take turns at one case. Within a round those of one way take theirs one after the other.
func (s *putStage) contest(ctx context.Context, c putCase, figures *[ways]putFigures, batch int) error {
	s.note("\n%v: a batch of 100 is %d bytes of log, a group of the bare loops %d", c, batch, batch*c.writers)
	ahead, plain, err := bareLoops(s.dir, batch*c.writers)
	if err != nil {
		return err
	}
	loops := [turns]*bareLoop{aheadTurn: ahead, plainTurn: plain, ownAheadTurn: ahead, ownPlainTurn: plain}
	defer ahead.f.Close()
	defer plain.f.Close()
	for _, a := range s.agents {
		if err := forgetPeak(a.pid()); err != nil {
			return err
		}
	}
	for way := range ways { // so that the loops know the channel's groups
		var first putFigures
		if err := s.turn(ctx, way, sluiceTurn, c, &first, s.length, nil); err != nil {
			return err
		}
		figures[way].group = first.group
	}
	for round := range s.rounds {
		for _, way := range s.shuffle(ways) {
			f := &figures[way]
			all := ahead.group
			own := bytes.Repeat([]byte{'x'}, int(f.group[len(f.group)-1]))
			for _, who := range s.shuffle(turns) {
				ahead.group, plain.group = all, all
				if who >= ownAheadTurn {
					ahead.group, plain.group = own, own
				}
				if err := s.turn(ctx, way, who, c, f, s.length, loops[who]); err != nil {
					return err
				}
			}
			bare := max(f.rate[aheadTurn][round], f.rate[plainTurn][round])
			inLog := f.rate[sluiceTurn][round] * float64(batch) / float64(100*c.size)
			f.ofFlume = append(f.ofFlume, f.rate[sluiceTurn][round]/f.rate[flumeTurn][round])
			f.ofBare = append(f.ofBare, 100*inLog/bare)
			f.ofOwn = append(f.ofOwn, 100*inLog/max(f.rate[ownAheadTurn][round], f.rate[ownPlainTurn][round]))
			ahead.group, plain.group = all, all
			s.note("  round %d, %s: Flume %5.1f, Sluice %5.1f MB/s of bodies: %4.1f times; bare loops %4.0f and %4.0f MB/s of log: %3.0f %%, in groups of %.0f bytes %4.0f and %4.0f: %3.0f %%; load %s", round+1,
				[]string{"agent", "alone"}[way], f.rate[flumeTurn][round], f.rate[sluiceTurn][round], f.ofFlume[round],
				f.rate[aheadTurn][round], f.rate[plainTurn][round], f.ofBare[round],
				f.group[round], f.rate[ownAheadTurn][round], f.rate[ownPlainTurn][round], f.ofOwn[round], load())
		}
	}
	for who, a := range s.agents {
		m, err := resident(a.pid())
		if err != nil {
			return err
		}
		figures[throughAgent].peak[who] = m.peak
	}
	return nil
}

// turn is one of the four's, one way.
func (s *putStage) turn(ctx context.Context, way, who int, c putCase, f *putFigures, length time.Duration, loop *bareLoop) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	syscall.Sync() // nobody pays for what others have left to be written
	if err := warm(); err != nil {
		return err
	}
	switch {
	case who >= aheadTurn:
		safe, took, err := loop.run(length)
		f.rate[who] = append(f.rate[who], float64(safe)/1e6/took.Seconds())
		return err
	case way == throughAgent:
		return s.agentTurn(ctx, who, c, f, length)
	}
	t, err := s.workers[who].do("put %d 100 %d %.3f", c.writers, c.size, length.Seconds())
	if err != nil {
		return err
	}
	f.add(who, c, float64(t.events), t.seconds, t.cpu)
	if who == sluiceTurn {
		f.group = append(f.group, float64(t.logged)/float64(t.syncs))
	}
	_, err = s.workers[who].do("take 1000")
	return err
}

func (f *putFigures) add(who int, c putCase, events, seconds, cpu float64) {
	f.rate[who] = append(f.rate[who], events*float64(c.size)/1e6/seconds)
	f.cpu[who] = append(f.cpu[who], cpu/events*1e6)
}

// agentTurn measures from when the sink, which may have fallen asleep, takes part.
func (s *putStage) agentTurn(ctx context.Context, who int, c putCase, f *putFigures, length time.Duration) error {
	a, cl := s.agents[who], s.clients[who][c.size]
	before, err := a.taken(ctx)
	if err != nil {
		return err
	}
	if err := cl.start(a.rpc, c.writers); err != nil {
		return err
	}
	for limit, awake := time.Now().Add(10*time.Second), false; !awake && time.Now().Before(limit); {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		n, err := a.taken(ctx)
		if err != nil {
			return err
		}
		awake = n > before
	}
	spent, err := harness.CPU(a.pid())
	if err != nil {
		return err
	}
	var logged, syncs int64
	if who == sluiceTurn {
		if logged, syncs, err = a.logged(ctx); err != nil {
			return err
		}
	}
	acked, begun := cl.acked.Load(), time.Now()
	if err := sleep(ctx, length); err != nil {
		return err
	}
	events, took := float64(cl.acked.Load()-acked), time.Since(begun).Seconds()
	if who == sluiceTurn {
		l, n, err := a.logged(ctx)
		if err != nil {
			return err
		}
		f.group = append(f.group, float64(l-logged)/float64(n-syncs))
	}
	calls, err := cl.stop()
	if err != nil {
		return err
	}
	if err := a.empty(ctx); err != nil { // the processor time that it takes to empty the channel counts too
		return err
	}
	now, err := harness.CPU(a.pid())
	if err != nil {
		return err
	}
	f.add(who, c, events, took, (now - spent).Seconds())
	f.half[who] = append(f.half[who], quantile(calls, 0.5))
	f.worst[who] = append(f.worst[who], quantile(calls, 0.99))
	return nil
}

// sample is the batch that everybody writes: two headers and a body of size bytes in each event.
func sample(events, size int) flume.Batch {
	b := make(flume.Batch, events)
	for i := range b {
		b[i] = flume.Event{
			Headers: flume.Headers{{Key: "host", Value: "web-17.example.com"}, {Key: "timestamp", Value: "1700000000000"}},
			Body:    make([]byte, size),
		}
	}
	return b
}

func (s *putStage) report(cases []putCase, figures map[putCase]*[ways]putFigures, groups map[putCase]int) {
	s.note("\nMB/s of event bodies, median (least–most) of %d rounds; times and %% are those within a round.", s.rounds)
	for way, title := range []string{
		"Through an agent: Avro client, Avro source, file channel, null sink (batchSize 1000) that drains meanwhile. The processor time is the agent's, for putting and taking.",
		"The channel alone: put and commit, nothing else at work.",
	} {
		s.note("\n%s", title)
		var rows [][]string
		for _, c := range cases {
			f := &figures[c][way]
			row := []string{
				c.String(), middleOf(f.rate[flumeTurn]).text(1), middleOf(f.rate[sluiceTurn]).text(1), middleOf(f.ofFlume).text(1), middleOf(f.ofBare).text(0), middleOf(f.ofOwn).text(0),
				middleOf(f.cpu[flumeTurn]).text(1), middleOf(f.cpu[sluiceTurn]).text(1),
			}
			if way == throughAgent {
				row = append(row, fmt.Sprintf("%.0f", f.peak[flumeTurn]), fmt.Sprintf("%.0f", f.peak[sluiceTurn]))
			}
			rows = append(rows, row)
		}
		head := []string{"writers × body", "Flume", "Sluice", "times Flume", "% of bare", "% of bare, own groups", "CPU s per million: Flume", "Sluice"}
		if way == throughAgent {
			head = append(head, "peak MB: Flume", "Sluice")
		}
		s.table(head, rows)
	}
	s.note("\nWhat a client waits for its acknowledgement, in ms: the median, and what 99 of 100 calls do not exceed.")
	var rows [][]string
	for _, c := range cases {
		f := &figures[c][throughAgent]
		row := []string{c.String()}
		for who := range systems {
			row = append(row, fmt.Sprintf("%.2f", middleOf(f.half[who]).median), fmt.Sprintf("%.2f", middleOf(f.worst[who]).median))
		}
		rows = append(rows, row)
	}
	s.table([]string{"writers × body", "Flume", "99 of 100", "Sluice", "99 of 100"}, rows)
	s.note("\nThe bare loops, MB/s of log: write and fdatasync of as many batches at once as there are writers, and of as many bytes as a sync of Sluice's has brought home.")
	rows = nil
	for _, c := range cases {
		of := figures[c]
		row := []string{c.String(), fmt.Sprint(groups[c])}
		for _, who := range []int{aheadTurn, plainTurn} {
			row = append(row, middleOf(slices.Concat(of[throughAgent].rate[who], of[alone].rate[who])).text(0))
		}
		for way := range ways {
			row = append(row, fmt.Sprintf("%.0f", middleOf(of[way].group).median), middleOf(of[way].rate[ownAheadTurn]).text(0), middleOf(of[way].rate[ownPlainTurn]).text(0))
		}
		rows = append(rows, row)
	}
	s.table([]string{"writers × body", "bytes in a group", "over fill written ahead", "plainly appending", "the agent's group", "over fill", "appending", "the channel's group alone", "over fill", "appending"}, rows)
}
