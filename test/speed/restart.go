package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Ways to start again.
const (
	checkpointed = "its checkpoint, and the log behind it"
	fromCache    = "the whole log, in the system's cache"
	fromCold     = "the whole log, on the disk"
)

// restarts are the figures of one system with one size.
type restarts struct {
	system system
	events int // queued at least
	starts map[string]*starts
	filled memory // when so many events were queued
	read   float64
}

// starts are those of one way.
type starts struct {
	seconds, rate, resident, file []float64
	queued                        int64 // by the last of them
}

// restart kills agents while they write and starts them again: both with 2 million queued events of 500 bytes, Sluice
// with 10 million too. The time is from starting the process until the source has acknowledged a batch.
func (b *bench) restart(ctx context.Context) error {
	small, large := b.count(2_000_000), b.count(10_000_000)
	var all []*restarts
	for _, sys := range systems {
		all = append(all, &restarts{system: sys, events: small, starts: map[string]*starts{}})
	}
	for range 2 {
		for _, r := range all {
			if err := b.killed(ctx, r, 1); err != nil {
				return err
			}
		}
	}
	r := &restarts{system: sluice, events: large, starts: map[string]*starts{}}
	if err := b.killed(ctx, r, 5); err != nil {
		return err
	}
	all = append(all, r)
	b.note("\nFrom starting the process to the acknowledgement of a first batch, after SIGKILL while writing; median (least–most).")
	var rows, sizes [][]string
	for _, r := range all {
		for _, how := range []string{checkpointed, fromCache, fromCold} {
			s := r.starts[how]
			rate := "–"
			if how != checkpointed {
				rate = middleOf(s.rate).text(0)
			}
			rows = append(rows, []string{
				string(r.system), fmt.Sprintf("%.1f", float64(s.queued)/1e6), how, fmt.Sprint(len(s.seconds)), middleOf(s.seconds).text(2), rate,
			})
		}
		after := r.starts[fromCold]
		if s := r.starts[checkpointed]; s != nil {
			after = s
		}
		sizes = append(sizes, []string{
			string(r.system), fmt.Sprintf("%.1f", float64(r.events)/1e6),
			fmt.Sprintf("%.0f (%.0f)", r.filled.all, r.filled.file), fmt.Sprintf("%.0f", r.filled.peak),
			fmt.Sprintf("%.0f (%.0f)", middleOf(after.resident).most, middleOf(after.file).most),
		})
	}
	b.table([]string{"", "million queued", "what is read", "starts", "seconds", "MB/s of log"}, rows)
	b.note("\nReading the largest log from the disk from one end to the other, and nothing else: %.0f MB/s.", all[len(all)-1].read)
	b.note("\nResident memory in MB (of which pages of files: the program itself, a mapped checkpoint).")
	b.table([]string{"", "million queued", "when they have been put", "peak by then", "after a start"}, sizes)
	return nil
}

// killed fills a channel, kills its agent at random moments while writing, as often as kills says, and starts it again:
// with its checkpoint, and at last without one, from the system's cache and from the disk.
func (b *bench) killed(ctx context.Context, r *restarts, kills int) (err error) {
	a, err := b.agent(r.system, "killed-"+string(r.system), false, fmt.Sprintf("capacity=%d", 2*r.events+500_000))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(a.dir))) }()
	if _, err := a.start(ctx); err != nil {
		return err
	}
	var sure, perhaps int64 = 2, 2 // events that must be there, and that may be: each start puts two
	for kill := range kills {
		cl, err := newClient(ctx, a.rpc, sample(1000, 500))
		if err != nil {
			return err
		}
		sure, perhaps = sure+2000, perhaps+2000
		const connections = 8
		begun := time.Now()
		if err := cl.start(a.rpc, connections); err != nil {
			return err
		}
		for sure+cl.acked.Load() < int64(r.events) {
			select {
			case <-a.ended:
				return fmt.Errorf("%s ended: %s; its log is %s", a.system, a.cmd.ProcessState, a.log.Name())
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		if kill == 0 {
			if r.filled, err = resident(a.pid()); err != nil {
				return err
			}
			b.note("  %s: %d events put, %.0f thousand a second; resident %.0f MB, of which %.0f MB file pages, peak %.0f; load %s", a.system,
				sure+cl.acked.Load(), float64(cl.acked.Load())/1e3/time.Since(begun).Seconds(), r.filled.all, r.filled.file, r.filled.peak, load())
		}
		if err := sleep(ctx, time.Duration(b.random.Int64N(int64(b.seconds(2))))); err != nil {
			return err
		}
		if err := a.end(syscall.SIGKILL); err != nil {
			return err
		}
		_, _ = cl.stop() // every connection has broken
		sure += cl.acked.Load()
		perhaps += cl.acked.Load() + connections*1000
		if sure, err = b.started(ctx, r, a, checkpointed, sure, perhaps); err != nil {
			return err
		}
		perhaps = sure
	}
	for _, how := range []string{fromCache, fromCold} {
		if err := a.end(syscall.SIGKILL); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(a.dir, "checkpoint")); err != nil {
			return err
		}
		if how == fromCold {
			if err := chill(a.dir); err != nil {
				return err
			}
			read, took, err := readAll(filepath.Join(a.dir, "data"))
			if err != nil {
				return err
			}
			r.read = float64(read) / 1e6 / took.Seconds()
			b.note("  reading the log from the disk, and nothing else: %.0f MB/s", r.read)
			if err := chill(a.dir); err != nil {
				return err
			}
		}
		if sure, err = b.started(ctx, r, a, how, sure, sure); err != nil {
			return err
		}
	}
	return a.end(syscall.SIGKILL)
}

// started starts the agent again and counts what it has.
func (b *bench) started(ctx context.Context, r *restarts, a *agent, how string, sure, perhaps int64) (int64, error) {
	_, bytes, err := files(filepath.Join(a.dir, "data"))
	if err != nil {
		return 0, err
	}
	took, err := a.start(ctx)
	if err != nil {
		return 0, err
	}
	m, err := resident(a.pid())
	if err != nil {
		return 0, err
	}
	queued, err := a.queued(ctx)
	if err != nil {
		return 0, err
	}
	if queued < sure+2 || queued > perhaps+2 {
		return 0, fmt.Errorf("%s has %d events after it was killed; between %d and %d were put", a.system, queued, sure+2, perhaps+2)
	}
	s := r.starts[how]
	if s == nil {
		s = new(starts)
		r.starts[how] = s
	}
	s.seconds = append(s.seconds, took.Seconds())
	s.rate = append(s.rate, float64(bytes)/1e6/took.Seconds())
	s.resident = append(s.resident, m.all)
	s.file = append(s.file, m.file)
	s.queued = queued
	b.note("  %s: %d events, %.2f GB of log; read: %s; %.2f s; resident %.0f MB, of which %.0f MB file pages; load %s",
		a.system, queued, float64(bytes)/1e9, how, took.Seconds(), m.all, m.file, load())
	return queued, nil
}
