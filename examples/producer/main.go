// Command producer sends the lines of its standard input as events, over a buffer on the disk, and its own log too.
//
//	cd examples/producer && go build . && seq 1000 | ./producer DIR HOST:PORT
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/client/slogevent"
	"github.com/sluice-io/sluice/flume"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: producer DIR HOST:PORT < lines")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, collector string) error {
	c, err := client.Open(client.Options{Address: collector, ConnectTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	d, err := client.OpenDurable(c, client.DurableOptions{Dir: dir})
	if err != nil {
		return errors.Join(err, c.Close())
	}
	ctx := context.Background()
	log := slog.New(slogevent.New(d, slogevent.Options{Logger: "producer"}))
	lines, b := bufio.NewScanner(os.Stdin), flume.Batch(nil)
	for lines.Scan() {
		if b = append(b, flume.Event{Body: []byte(lines.Text())}); len(b) < 100 {
			continue
		}
		if err := d.AppendBatch(ctx, b); err != nil { // nil: they are on the disk
			return err
		}
		b = b[:0]
	}
	if err := d.AppendBatch(ctx, b); err != nil {
		return err
	}
	log.Info("all lines are safe")

	draining, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err = d.Drain(draining) // what the collector has not got by then stays in DIR, for the next run
	s := d.Stats()
	fmt.Println(s.Accepted, "safe,", s.Delivered, "delivered,", s.Waiting, "wait")
	if s.Waiting > 0 {
		return nil
	}
	return err
}
