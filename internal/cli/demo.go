package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/internal/demo"
)

func demoOptions() []option {
	return []option{
		{long: "brokers", arg: "HOST:PORT", doc: "a real Kafka instead of the one inside; the topics test3 and test2 are made where they are missing"},
		{long: "events", arg: "N", doc: "how many events to send (default 100000)"},
		{long: "size", arg: "BYTES", doc: "how large they are (default 500)"},
		{long: "dir", arg: "DIR", doc: "where configurations and logs go, and stay (default: a temporary directory)"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// runDemo ends with status 0 only where nothing was lost.
func runDemo(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program itself: %w", err)
	}
	d := demo.Options{Binary: binary, Dir: o.get("dir"), Events: 100_000, Size: 500, Patience: 20 * time.Second, Out: p.out}
	if d.Dir != "" {
		if d.Dir, err = absolute(d.Dir), os.MkdirAll(d.Dir, 0o755); err != nil {
			return err
		}
	}
	if list := o.get("brokers"); list != "" {
		d.Brokers = strings.Split(list, ",")
	}
	for id, n := range map[string]*int{"events": &d.Events, "size": &d.Size} {
		if !o.has(id) {
			continue
		}
		if *n, err = strconv.Atoi(o.get(id)); err != nil || *n < 1 || *n > 99_999_999 {
			return fmt.Errorf("option --%s: %q is not a number from 1 to 99999999", id, o.get(id))
		}
	}
	d.Over = min(12*time.Second, time.Duration(d.Events)*120*time.Microsecond)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	result, err := demo.Run(ctx, d)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	fmt.Fprintln(p.out, result)
	if result.Lost > 0 {
		return exit(statusFatal)
	}
	return nil
}
