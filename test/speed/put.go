package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// Who takes turns at writing.
const (
	flumeAgent = iota
	sluiceAgent
	flumeChannel
	sluiceChannel
	bareAhead
	barePlain
	contenders
)

// putCase is one row of the table: so many writers at once, each with batches of 100 events of so many bytes.
type putCase struct{ writers, size int }

func (c putCase) String() string { return fmt.Sprintf("%2d writers, %4d B", c.writers, c.size) }

// putFigures are what a case has shown, a figure for each round.
type putFigures struct {
	rate    [contenders][]float64 // events a second; of the bare loops bytes a second
	cpu     [contenders][]float64 // seconds of processor time for a million events
	half    [contenders][]float64 // milliseconds: half of all calls were faster
	worst   [contenders][]float64 // 99 of 100 calls were
	memory  [contenders]float64   // the peak, in MB
	logged  int                   // bytes of one batch in the log
	ofBare  [contenders][]float64 // per cent of the faster bare loop of the same round
	ofFlume [contenders][]float64 // times as fast as Flume in the same round and the same way
}

// putStage is everything that stays up during the row.
type putStage struct {
	*bench
	agents  map[int]*agent
	workers map[int]*worker
	clients map[int]map[int]*client // by contender and size
}

func (b *bench) put(ctx context.Context) (err error) {
	rounds, turn := 5, b.seconds(3)
	if b.scale < 1 {
		rounds = 3
	}
	s := &putStage{bench: b, agents: map[int]*agent{}, workers: map[int]*worker{}, clients: map[int]map[int]*client{}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	var cases []putCase
	for _, size := range []int{500, 1000} {
		for _, writers := range []int{1, 4, 16} {
			cases = append(cases, putCase{writers, size})
		}
	}
	figures := map[putCase]*putFigures{}
	for _, c := range cases {
		f := &putFigures{}
		figures[c] = f
		if f.logged, err = logged(ctx, filepath.Join(b.dir, "probe"), batch100(c.size)); err != nil {
			return err
		}
		if err := s.contest(ctx, c, f, rounds, turn); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
	}
	s.report(cases, figures)
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
		s.agents[flumeAgent+i] = a
		s.clients[flumeAgent+i] = map[int]*client{}
		for _, size := range []int{500, 1000} {
			c, err := newClient(ctx, a.rpc, batch100(size))
			if err != nil {
				return err
			}
			s.clients[flumeAgent+i][size] = c
		}
		// Room for all that a turn writes; what has been written is taken between the turns.
		w, err := s.worker(ctx, sys, filepath.Join(s.dir, "channel-"+string(sys)), "capacity=6000000")
		if err != nil {
			return err
		}
		s.workers[flumeChannel+i] = w
	}
	for i := range bareAhead {
		var f putFigures
		if err := s.turn(ctx, i, putCase{4, 500}, &f, s.seconds(6), nil, nil); err != nil {
			return err
		}
	}
	s.note("warmed up; load average %s", load())
	return nil
}

func (s *putStage) close() error {
	var errs []error
	for _, a := range s.agents {
		errs = append(errs, a.end(os.Interrupt))
	}
	for i, w := range s.workers {
		peak, err := w.close()
		errs = append(errs, err)
		s.note("%s's channel alone: %.0f MB at most", systems[i-flumeChannel], peak)
	}
	return errors.Join(errs...)
}

// contest lets all take turns at one case.
func (s *putStage) contest(ctx context.Context, c putCase, f *putFigures, rounds int, length time.Duration) error {
	group := f.logged * c.writers
	s.note("\n%v: a batch has %d bytes in the log, a group of the bare loops %d", c, f.logged, group)
	ahead, plain, err := bareLoops(s.dir, group)
	if err != nil {
		return err
	}
	defer ahead.f.Close()
	defer plain.f.Close()
	for _, a := range s.agents {
		if err := forgetPeak(a.pid()); err != nil {
			return err
		}
	}
	for round := range rounds {
		for _, who := range s.shuffle(contenders) {
			if err := s.turn(ctx, who, c, f, length, ahead, plain); err != nil {
				return err
			}
		}
		bare := max(f.rate[bareAhead][round], f.rate[barePlain][round])
		for who := range bareAhead {
			f.ofBare[who] = append(f.ofBare[who], 100*f.rate[who][round]/100*float64(f.logged)/bare)
		}
		f.ofFlume[sluiceAgent] = append(f.ofFlume[sluiceAgent], f.rate[sluiceAgent][round]/f.rate[flumeAgent][round])
		f.ofFlume[sluiceChannel] = append(f.ofFlume[sluiceChannel], f.rate[sluiceChannel][round]/f.rate[flumeChannel][round])
		s.note("  round %d: agents %.1f and %.1f MB/s of bodies, %.1f times; channels %.1f and %.1f, %.1f times; bare %.1f and %.1f MB/s of log; %.0f and %.0f %% of it; load %s",
			round+1, f.body(flumeAgent, c, round), f.body(sluiceAgent, c, round), f.ofFlume[sluiceAgent][round],
			f.body(flumeChannel, c, round), f.body(sluiceChannel, c, round), f.ofFlume[sluiceChannel][round],
			f.rate[bareAhead][round]/1e6, f.rate[barePlain][round]/1e6, f.ofBare[sluiceAgent][round], f.ofBare[sluiceChannel][round], load())
	}
	for who, a := range s.agents {
		m, err := resident(a.pid())
		if err != nil {
			return err
		}
		f.memory[who] = m.peak
	}
	return nil
}

// body is a round's megabytes of bodies a second.
func (f *putFigures) body(who int, c putCase, round int) float64 {
	return f.rate[who][round] * float64(c.size) / 1e6
}

func (s *putStage) turn(ctx context.Context, who int, c putCase, f *putFigures, length time.Duration, ahead, plain *bareLoop) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch who {
	case flumeAgent, sluiceAgent:
		return s.agentTurn(ctx, who, c, f, length)
	case flumeChannel, sluiceChannel:
		w := s.workers[who]
		t, err := w.do("put %d 100 %d %.3f", c.writers, c.size, length.Seconds())
		if err != nil {
			return err
		}
		f.add(who, t.rate(), t.cpu/float64(t.events)*1e6)
		_, err = w.do("take 1000")
		return err
	}
	loop := ahead
	if who == barePlain {
		loop = plain
	}
	safe, took, err := loop.run(length)
	f.add(who, float64(safe)/took.Seconds(), 0)
	return err
}

func (f *putFigures) add(who int, rate, cpu float64) {
	f.rate[who] = append(f.rate[who], rate)
	f.cpu[who] = append(f.cpu[who], cpu)
}

// agentTurn measures from when the sink, which may have fallen asleep, takes part.
func (s *putStage) agentTurn(ctx context.Context, who int, c putCase, f *putFigures, length time.Duration) error {
	a, cl := s.agents[who], s.clients[who][c.size]
	if err := a.empty(ctx); err != nil {
		return err
	}
	asleep, err := a.taken(ctx)
	if err != nil {
		return err
	}
	if err := cl.start(a.rpc, c.writers); err != nil {
		return err
	}
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		n, err := a.taken(ctx)
		if err != nil {
			return err
		}
		if n > asleep {
			break
		}
	}
	spent, err := harness.CPU(a.pid())
	if err != nil {
		return err
	}
	acked, begun := cl.acked.Load(), time.Now()
	if err := sleep(ctx, length); err != nil {
		return err
	}
	events, took := float64(cl.acked.Load()-acked), time.Since(begun).Seconds()
	calls, err := cl.stop()
	if err != nil {
		return err
	}
	if err := a.empty(ctx); err != nil { // and what it takes to empty the channel counts as processor time
		return err
	}
	now, err := harness.CPU(a.pid())
	if err != nil {
		return err
	}
	f.add(who, events/took, (now-spent).Seconds()/events*1e6)
	f.half[who] = append(f.half[who], quantile(calls, 0.5))
	f.worst[who] = append(f.worst[who], quantile(calls, 0.99))
	return nil
}

func (s *putStage) report(cases []putCase, figures map[putCase]*putFigures) {
	mb := func(f *putFigures, who int, c putCase) string {
		all := make([]float64, len(f.rate[who]))
		for i := range all {
			all[i] = f.body(who, c, i)
		}
		return middleOf(all).text(1)
	}
	s.note("\nMB/s of event bodies, each batch synced before it is acknowledged; median (least–most) of %d rounds.", len(figures[cases[0]].rate[0]))
	s.note("\nThrough an Avro client: Avro source, file channel, null sink with batchSize 1000 that drains meanwhile.")
	var rows, delays [][]string
	for _, c := range cases {
		f := figures[c]
		rows = append(rows, []string{
			c.String(), mb(f, flumeAgent, c), mb(f, sluiceAgent, c), middleOf(f.ofFlume[sluiceAgent]).text(1), middleOf(f.ofBare[sluiceAgent]).text(0),
			middleOf(f.cpu[flumeAgent]).text(1), middleOf(f.cpu[sluiceAgent]).text(1),
			fmt.Sprintf("%.0f, %.0f", f.memory[flumeAgent], f.memory[sluiceAgent]),
		})
		delays = append(delays, []string{
			c.String(),
			fmt.Sprintf("%.2f, %.2f", middleOf(f.half[flumeAgent]).median, middleOf(f.worst[flumeAgent]).median),
			fmt.Sprintf("%.2f, %.2f", middleOf(f.half[sluiceAgent]).median, middleOf(f.worst[sluiceAgent]).median),
		})
	}
	s.table([]string{"", "Flume", "Sluice", "times Flume", "% of bare", "CPU s per million, Flume", "Sluice", "peak MB, Flume, Sluice"}, rows)
	s.note("\nWhat a client waits for the acknowledgement of a batch, ms: median, 99th percentile.")
	s.table([]string{"", "Flume", "Sluice"}, delays)
	s.note("\nThe channel alone: put and commit, nothing else at work.")
	rows = nil
	for _, c := range cases {
		f := figures[c]
		rows = append(rows, []string{
			c.String(), mb(f, flumeChannel, c), mb(f, sluiceChannel, c), middleOf(f.ofFlume[sluiceChannel]).text(1), middleOf(f.ofBare[sluiceChannel]).text(0),
			middleOf(f.cpu[flumeChannel]).text(1), middleOf(f.cpu[sluiceChannel]).text(1),
		})
	}
	s.table([]string{"", "Flume", "Sluice", "times Flume", "% of bare", "CPU s per million, Flume", "Sluice"}, rows)
	s.note("\nThe bare loops, MB/s of log: write and fdatasync of as many batches at once as there are writers.")
	rows = nil
	for _, c := range cases {
		f := figures[c]
		row := []string{c.String(), fmt.Sprint(f.logged * c.writers)}
		for _, who := range []int{bareAhead, barePlain} {
			all := make([]float64, len(f.rate[who]))
			for i, r := range f.rate[who] {
				all[i] = r / 1e6
			}
			row = append(row, middleOf(all).text(0))
		}
		rows = append(rows, row)
	}
	s.table([]string{"", "bytes in a group", "over fill written ahead, as the channel", "plainly appending"}, rows)
}
