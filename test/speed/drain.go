package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// drain takes a backlog that lies on the disk alone, 5 GB of log at full size. Everybody gets a copy of the same files.
func (b *bench) drain(ctx context.Context) error {
	batch, err := logged(ctx, filepath.Join(b.dir, "probe"), sample(1000, 500))
	if err != nil {
		return err
	}
	events := b.count(int(5e9 / float64(batch) * 1000))
	capacity := fmt.Sprintf("capacity=%d", max(events+100_000, 1_000_000))
	original := filepath.Join(b.dir, "backlog")
	w, err := b.worker(ctx, sluice, original, capacity)
	if err != nil {
		return err
	}
	t, err := w.do("put 4 1000 500 3600 %d", events)
	if err != nil {
		return err
	}
	if _, err := w.close(); err != nil {
		return err
	}
	_, bytes, err := files(filepath.Join(original, "data"))
	if err != nil {
		return err
	}
	b.note("a backlog of %d events of 500 bytes, %.2f GB of log, written in %.1f s", t.events, float64(bytes)/1e9, t.seconds)
	var rows [][]string
	var rates [2][2]float64 // agent or channel, system
	for way, name := range []string{"channel alone, 1000 events a transaction", "agent with a null sink, batchSize 1000"} {
		for i, sys := range systems {
			dir := filepath.Join(b.dir, "copy")
			if err := copyFiles(ctx, original, dir); err != nil {
				return err
			}
			var d drained
			if way == 0 {
				d, err = b.drainChannel(ctx, sys, dir, capacity)
			} else {
				d, err = b.drainAgent(ctx, sys, dir, capacity, t.events)
			}
			if err != nil {
				return err
			}
			if d.events != t.events {
				return fmt.Errorf("%s took %d events of %d", sys, d.events, t.events)
			}
			rates[way][i] = d.rate()
			b.note("  %s, %s: %d events in %.1f s; %.2f GB came from the disk; load %s", sys, name, d.events, d.seconds, float64(d.disk)/1e9, load())
			rows = append(rows, []string{
				name, string(sys), fmt.Sprintf("%.0f", d.rate()/1e3), fmt.Sprintf("%.0f", d.rate()*float64(batch)/1e9),
				fmt.Sprintf("%.1f", rates[way][i]/rates[way][0]), fmt.Sprintf("%.1f", d.cpu/float64(d.events)*1e6), fmt.Sprintf("%.2f", float64(d.disk)/1e9),
			})
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	if err := chill(original); err != nil {
		return err
	}
	read, took, err := readAll(filepath.Join(original, "data"))
	if err != nil {
		return err
	}
	b.note("  reading the same files from one end to the other: %.0f MB/s", float64(read)/1e6/took.Seconds())
	b.table([]string{"", "", "thousand events/s", "MB/s of log", "times Flume", "CPU s per million", "GB from the disk"}, rows)
	return os.RemoveAll(original)
}

// drained is a turn with the bytes that had to be read from the disk.
type drained struct {
	turn
	disk int64
}

func (b *bench) drainChannel(ctx context.Context, sys system, dir, capacity string) (d drained, err error) {
	w, err := b.worker(ctx, sys, dir, capacity)
	if err != nil {
		return d, err
	}
	if err := chill(filepath.Join(dir, "data")); err != nil {
		return d, err
	}
	pid, err := lastOf(w.cmd.Process.Pid)
	if err != nil {
		return d, err
	}
	before, err := fromDisk(pid)
	if err != nil {
		return d, err
	}
	if d.turn, err = w.do("take 1000"); err != nil {
		return d, err
	}
	after, err := fromDisk(pid)
	if err != nil {
		return d, err
	}
	d.disk = after - before
	_, err = w.close()
	return d, err
}

// drainAgent measures from the first events that the sink takes to the last.
func (b *bench) drainAgent(ctx context.Context, sys system, dir, capacity string, events int64) (d drained, err error) {
	a, err := b.agent(sys, "drain-"+string(sys), true, capacity)
	if err != nil {
		return d, err
	}
	if err := os.Rename(dir, a.dir); err != nil {
		return d, err
	}
	if err := chill(a.dir); err != nil {
		return d, err
	}
	if err := a.launch(ctx); err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, a.end(os.Interrupt), os.RemoveAll(a.dir)) }()
	var first time.Time
	var taken int64 // when first was
	for {
		select {
		case <-a.ended:
			return d, fmt.Errorf("%s ended: %s; its log is %s", sys, a.cmd.ProcessState, a.log.Name())
		default:
		}
		n, err := a.taken(ctx)
		switch {
		case err != nil && !first.IsZero():
			return d, err
		case err == nil && n > 0 && first.IsZero():
			first, taken = time.Now(), n
		}
		if n >= events {
			break
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return d, err
		}
	}
	d.seconds = time.Since(first).Seconds() * float64(events) / float64(max(events-taken, 1))
	d.events = events
	spent, err := harness.CPU(a.pid())
	if err != nil {
		return d, err
	}
	d.cpu = spent.Seconds()
	d.disk, err = fromDisk(a.pid())
	return d, err
}

// lastOf is the process at the end of the line of children: a worker of Flume is a shell's child.
func lastOf(pid int) (int, error) {
	for {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return 0, fmt.Errorf("looking for a child: %w", err)
		}
		var child int
		if _, err := fmt.Sscan(string(text), &child); err != nil {
			return pid, nil
		}
		pid = child
	}
}

func copyFiles(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-r", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the backlog: %w: %s", err, out)
	}
	return chill(to)
}
