// Command durable sends numbered events of one lane over a client's durable buffer, to be killed while it does. After each send that
// has returned it prints the numbers that are safe; when all are it drains the buffer and prints how that went.
//
//	go run ./test/oracle/durable -dir /var/tmp/buffer -address 127.0.0.1:41414 -events 100000
//	safe 0 99
//	safe 100 173
//	…
//	drained {Accepted:100000 Delivered:100000 …}
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/oracle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	o := client.Options{}
	d := client.DurableOptions{MaxBackoff: time.Second}
	load := oracle.Load{Lanes: 1}
	flag.StringVar(&d.Dir, "dir", "", "the buffer")
	flag.StringVar(&o.Address, "address", "127.0.0.1:41414", "the source")
	thrift := flag.Bool("thrift", false, "it is a Thrift source")
	flag.StringVar(&load.Run, "run", "run", "the first word of each body")
	flag.IntVar(&load.Size, "size", 500, "bytes of a body")
	flag.IntVar(&d.BatchEvents, "batch", 100, "events of a delivery; a send has up to as many")
	from := flag.Int("from", 0, "the first number")
	events := flag.Int("events", 100_000, "the last number and one more")
	rate := flag.Int("rate", 0, "events a second; 0: as fast as it goes")
	patience := flag.Duration("patience", 5*time.Minute, "how long to drain at most")
	flag.Parse()

	if *thrift {
		o.Protocol = client.ThriftCompact
	}
	o.BatchSize = d.BatchEvents
	c, err := client.Open(o)
	if err != nil {
		return err
	}
	buffer, err := client.OpenDurable(c, d)
	if err != nil {
		return errors.Join(err, c.Close())
	}
	ctx := context.Background()
	began := time.Now()
	for n := *from; n < *events; {
		b := make(flume.Batch, min(1+rand.IntN(d.BatchEvents), *events-n))
		for i := range b {
			b[i].Body = load.Body(nil, 0, n+i)
		}
		if err := buffer.AppendBatch(ctx, b); err != nil {
			return err
		}
		if _, err := fmt.Printf("safe %d %d\n", n, n+len(b)-1); err != nil {
			return err
		}
		n += len(b)
		if *rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(n-*from) * time.Second / time.Duration(*rate))))
		}
	}
	draining, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	if err := buffer.Drain(draining); err != nil {
		return err
	}
	_, err = fmt.Printf("drained %+v\n", buffer.Stats())
	return err
}
