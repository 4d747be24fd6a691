// Command cmd is the oracle for a flow that is running already: it writes numbered events into one topic, reads
// another, and says what was lost, doubled, out of order or changed. It exits with 1 if a rule is broken.
//
//	go run ./test/oracle/cmd -brokers 127.0.0.1:9092 -in test3 -out test2 -events 100000
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/test/oracle"
)

func main() { os.Exit(run()) }

func run() int {
	brokers := flag.String("brokers", "127.0.0.1:9092", "brokers to begin with, separated by commas")
	in := flag.String("in", "test3", "the topic to write to; it must have at least -lanes partitions")
	out := flag.String("out", "test2", "the topic to read, from its beginning")
	events := flag.Int("events", 100_000, "events to send")
	lanes := flag.Int("lanes", 1, "partitions of -in to write to")
	size := flag.Int("size", 500, "bytes of a body")
	keyed := flag.Bool("key", false, "give the events of each lane a key")
	rate := flag.Int("rate", 0, "events per second; 0: as fast as it goes")
	flumeFormat := flag.Bool("flume-format", false, "the output's values are AvroFlumeEvents")
	order := flag.Bool("order", false, "events out of order are a failure")
	duplicates := flag.Int("duplicates", 0, "duplicates that each lane may have; -1: any")
	patience := flag.Duration("patience", 30*time.Second, "how long to wait without news for what is missing")
	flag.Parse()

	load := oracle.Load{
		Run: "run" + strconv.FormatInt(time.Now().UnixMilli(), 36), Lanes: *lanes, Events: *events, Size: *size, Keyed: *keyed,
	}
	decode := oracle.Plain
	if *flumeFormat {
		decode = oracle.FlumeFormat
	}
	ledger := oracle.NewLedger(load)
	seeds := strings.Split(*brokers, ",")
	watcher, err := oracle.Watch(seeds, *out, decode, ledger)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer watcher.Close()
	if err := oracle.Produce(context.Background(), seeds, *in, ledger, *rate, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	report := watcher.Await(*patience, 24*time.Hour)
	fmt.Printf("run %s: %s", load.Run, report)
	if err := report.Check(oracle.Rules{Duplicates: *duplicates, Order: *order, AnyForeign: true}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
