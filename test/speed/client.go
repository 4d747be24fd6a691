package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sdk "github.com/sluice-io/sluice/client"
)

// Who sends to whom. Both send batches of 100 events of 1000 bytes over Avro; pipelined is Sluice's client with eight
// calls on their way at once.
type pairing struct {
	sender   system
	pipeline int
	receiver system
}

func (p pairing) String() string {
	name := map[system]string{realFlume: "Java's RpcClient", sluice: "Go client"}[p.sender]
	if p.pipeline > 1 {
		name += fmt.Sprintf(", %d calls at once", p.pipeline)
	}
	return name + " → " + string(p.receiver)
}

var pairings = [...]pairing{
	{realFlume, 1, realFlume},
	{realFlume, 1, sluice},
	{sluice, 1, realFlume},
	{sluice, 1, sluice},
	{sluice, 8, sluice},
}

// The pairing that all others are held against, at each receiver.
var javas = map[system]int{realFlume: 0, sluice: 1}

const clientBatch, clientSize = 100, 1000

// clients measures the client libraries, agents with memory channels and null sinks behind them.
func (b *bench) clients(ctx context.Context) (err error) {
	addresses := map[system]string{}
	workers := map[system]*worker{}
	for _, sys := range systems {
		a, err := b.agent(sys, "agent-"+string(sys), true, "type=memory", "capacity=100000", "transactionCapacity=10000")
		if err != nil {
			return err
		}
		if _, err := a.start(ctx); err != nil {
			return err
		}
		addresses[sys] = a.rpc
		w, err := b.clientWorker(ctx, sys)
		if err != nil {
			return errors.Join(err, a.end(os.Interrupt))
		}
		workers[sys] = w
		defer func() {
			peak, closed := w.close()
			err = errors.Join(err, closed, a.end(os.Interrupt))
			b.note("the client of %s: %.0f MB resident at most", sys, peak)
		}()
	}
	rounds, length := 5, b.seconds(3)
	if b.scale < 1 {
		rounds = 3
	}
	turnOf := func(p pairing, writers int, length time.Duration) (turn, error) {
		return workers[p.sender].do("send %d %d %d %f %s %d", writers, clientBatch, clientSize, length.Seconds(), addresses[p.receiver], p.pipeline)
	}
	for _, p := range pairings {
		if _, err := turnOf(p, 4, b.seconds(8)); err != nil {
			return err
		}
	}
	b.note("warmed up; load average %s", load())
	for _, writers := range []int{1, 4} {
		var rate, cpu, times, perCore [len(pairings)][]float64
		for range rounds {
			var round [len(pairings)]turn
			for _, i := range b.shuffle(len(pairings)) {
				if round[i], err = turnOf(pairings[i], writers, length); err != nil {
					return err
				}
			}
			for i, t := range round {
				java := round[javas[pairings[i].receiver]]
				rate[i] = append(rate[i], t.rate()/1e3)
				cpu[i] = append(cpu[i], t.cpu/float64(t.events)*1e6)
				times[i] = append(times[i], t.rate()/java.rate())
				perCore[i] = append(perCore[i], float64(t.events)/t.cpu/(float64(java.events)/java.cpu))
			}
		}
		b.note("\n%d connections, batches of %d events of %d bytes; median (least–most) of %d rounds.", writers, clientBatch, clientSize, rounds)
		var rows [][]string
		for i, p := range pairings {
			rows = append(rows, []string{p.String(), middleOf(rate[i]).text(0), middleOf(times[i]).text(1), middleOf(cpu[i]).text(2), middleOf(perCore[i]).text(1)})
		}
		b.table([]string{"", "thousand events/s", "times Java's, same receiver", "client's CPU s per million", "times Java's per core"}, rows)
	}
	return nil
}

// clientWorker starts a program that sends what it is told, as a worker of the channel does.
func (b *bench) clientWorker(ctx context.Context, sys system) (*worker, error) {
	if sys == realFlume {
		return spawn(sys, b.peers(ctx, "java", "flume", "ClientWorker"))
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return spawn(sys, exec.CommandContext(ctx, self, "sender"))
}

// send is the worker of Sluice's client: "send WRITERS BATCH SIZE SECONDS HOST:PORT PIPELINE". Clients stay open.
func send(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	open := map[string]*sdk.Client{}
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
	}()
	fmt.Fprintln(out, "SERVING")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var writers, batch, size, pipeline int
		var seconds float64
		var address string
		if _, err := fmt.Sscanf(lines.Text(), "send %d %d %d %f %s %d", &writers, &batch, &size, &seconds, &address, &pipeline); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		events := sample(batch*pipeline, size)
		var sent atomic.Int64
		var wait sync.WaitGroup
		failures := make([]error, writers)
		begun, before := time.Now(), processorTime()
		end := begun.Add(time.Duration(seconds * float64(time.Second)))
		for i := range writers {
			key := address + " " + strconv.Itoa(i) + " " + strconv.Itoa(pipeline)
			if open[key] == nil {
				c, err := sdk.Open(sdk.Options{Address: address, BatchSize: batch, Pipeline: pipeline})
				if err != nil {
					return err
				}
				open[key] = c
			}
			c := open[key]
			wait.Go(func() {
				for time.Now().Before(end) {
					if failures[i] = c.AppendBatch(ctx, events); failures[i] != nil {
						return
					}
					sent.Add(int64(len(events)))
				}
			})
		}
		wait.Wait()
		if err := errors.Join(failures...); err != nil {
			return err
		}
		fmt.Fprintf(out, "events=%d seconds=%f cpu=%f\n", sent.Load(), time.Since(begun).Seconds(), processorTime()-before)
	}
	return nil
}

// processorTime is what this process has used, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no reason to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
