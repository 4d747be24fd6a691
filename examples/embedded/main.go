// Command embedded has an agent of its own: what it puts is on the disk, and goes on to a collector when there is one.
//
//	cd examples/embedded && go build . && echo hello | ./embedded DIR HOST:PORT
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/channel/file"
	"github.com/sluice-io/sluice/embedded"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/interceptor/timestamp"
	"github.com/sluice-io/sluice/selector/replicating"
	"github.com/sluice-io/sluice/sink/avro"
	single "github.com/sluice-io/sluice/sinkgroup/default"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: embedded DIR HOST:PORT < lines")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kinds are those that this program needs, which is a third of kit.Standard's size.
func kinds() agent.Kit {
	return agent.Kit{
		Interceptors:   []flume.Kind[flume.Interceptor]{timestamp.Kind},
		Selectors:      []flume.Kind[flume.Selector]{replicating.Kind},
		Channels:       []flume.Kind[flume.Channel]{file.Kind},
		Sinks:          []flume.Kind[flume.Sink]{avro.Kind},
		SinkProcessors: []flume.Kind[flume.SinkProcessor]{single.Kind},
	}
}

func run(dir, collector string) error {
	host, port, err := net.SplitHostPort(collector)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := embedded.Open(ctx, embedded.Options{Kit: kinds(), Name: "app", DataDir: dir, Properties: map[string]string{
		"source.interceptors":         "i1",
		"source.interceptors.i1.type": "timestamp",
		"channel.type":                "file",
		"channel.checkpointDir":       filepath.Join(dir, "checkpoint"),
		"channel.dataDirs":            filepath.Join(dir, "data"),
		"sinks":                       "k1",
		"k1.type":                     "avro",
		"k1.hostname":                 host,
		"k1.port":                     port,
	}})
	if err != nil {
		return err
	}
	lines, n := bufio.NewScanner(os.Stdin), 0
	for lines.Scan() {
		if err := a.Put(ctx, flume.Batch{{Body: []byte(lines.Text())}}); err != nil {
			return err
		}
		n++
	}
	fmt.Println(n, "events are safe")
	// What the collector has not got yet stays in the file channel, for the next start.
	time.Sleep(time.Second)
	return a.Close(ctx)
}
