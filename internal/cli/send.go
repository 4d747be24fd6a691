package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/logline"
)

func sendOptions() []option {
	return []option{
		{long: "avro", arg: "HOST:PORT[,HOST:PORT...]", doc: "to an avro source; with several, to the next when one fails"},
		{long: "thrift", arg: "HOST:PORT[,HOST:PORT...]", doc: "to a thrift source"},
		{long: "binary", doc: "with --thrift: the source has protocol = binary"},
		{long: "http", arg: "URL", doc: "to an http source, as JSON"},
		{long: "kafka", arg: "HOST:PORT[,HOST:PORT...]", doc: "to a topic of Kafka, as AvroFlumeEvent: to where a Kafka source or channel reads"},
		{long: "topic", arg: "NAME", doc: "with --kafka: the topic; %{header} stands for its value"},
		{long: "body", doc: "with --kafka: the body alone, without headers"},
		{long: "set", arg: "NAME=VALUE", doc: "with --kafka: a setting of the Kafka sink, such as kafka.producer.acks=all (repeatable)"},
		{short: "P", long: "rpcProps", arg: "FILE", doc: "to where the properties of an RPC client say: failover, load balancing, TLS, compression"},
		{short: "H", long: "header", arg: "NAME=VALUE", doc: "a header of every event (repeatable)"},
		{short: "R", long: "headerFile", arg: "FILE", doc: "properties, which are headers of every event"},
		{long: "file-header", arg: "NAME", doc: "a header with the path of the file"},
		{long: "batch", arg: "N", doc: "the most events of one call (default 100)"},
		{long: "spool", arg: "DIR", doc: "a buffer on the disk: lines are safe there before they are delivered, and what cannot be is by the next call with it"},
		{long: "spool-bytes", arg: "N", doc: "with --spool: the most that may wait (default 1073741824)"},
		{long: "drop-oldest", doc: "with --spool: when that is reached, give up the oldest rather than wait"},
		{long: "wait", arg: "SECONDS", doc: "with --spool: for how long to go on delivering when all lines are read (default 30)"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

const statusWaiting = 2

// A sending is one line of the command send.
type sending struct {
	*program
	o    options
	feed feed
	wait time.Duration
}

func runSend(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	s := &sending{program: p, o: o, feed: feed{batch: 100, fileHeader: o.get("file-header")}, wait: 30 * time.Second}
	if err := s.check(); err != nil {
		return err
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	if l.dry {
		fmt.Fprintln(p.out, "would send events")
		return nil
	}
	ctx := context.Background()
	to, err := s.open()
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if o.has("spool") {
		return s.spooled(ctx, to)
	}
	s.feed.to = to
	err = s.all(ctx)
	fmt.Fprintf(p.err, "%s sent\n", count(s.feed.sent, "event"))
	if err = errors.Join(err, to.Close()); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// check reads the options as far as nothing need be opened.
func (s *sending) check() error {
	o := &s.o
	var ways []string
	for _, way := range []string{"avro", "thrift", "http", "kafka", "rpcProps"} {
		if o.has(way) {
			ways = append(ways, "--"+way)
		}
	}
	if len(ways) != 1 {
		return errors.New("send: where to? One of --avro, --thrift, --http, --kafka, --rpcProps" + strings.TrimSuffix(" rather than "+strings.Join(ways, " and "), " rather than "))
	}
	for _, only := range []struct{ option, with string }{
		{"binary", "thrift"}, {"topic", "kafka"}, {"body", "kafka"}, {"set", "kafka"},
		{"spool-bytes", "spool"}, {"drop-oldest", "spool"}, {"wait", "spool"},
	} {
		if o.has(only.option) && !o.has(only.with) {
			return fmt.Errorf("option --%s is for --%s", only.option, only.with)
		}
	}
	if o.has("kafka") && !o.has("topic") {
		return errors.New("send: to which topic? --topic NAME")
	}
	if text := o.get("batch"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("option --batch: %q is not a number from 1 to 1000000", text)
		}
		s.feed.batch = n
	}
	if text := o.get("wait"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("option --wait: %q is not a number of seconds", text)
		}
		s.wait = time.Duration(n) * time.Second
	}
	return s.headers()
}

func (s *sending) headers() error {
	if path := s.o.get("headerFile"); path != "" {
		properties, err := readProperties(path)
		if err != nil {
			return fmt.Errorf("reading the headers: %w", err)
		}
		s.feed.headers = headersOf(properties)
	}
	given, err := pairs("header", s.o.values["header"])
	if err != nil {
		return err
	}
	for _, h := range given {
		s.feed.headers.Set(h.Key, h.Value)
	}
	return nil
}

func pairs(name string, values []string) (flume.Headers, error) {
	var out flume.Headers
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("option --%s: %q is not NAME=VALUE", name, v)
		}
		out.Set(key, value)
	}
	return out, nil
}

// open opens what the events are delivered with.
func (s *sending) open() (client.Sender, error) {
	o := &s.o
	switch {
	case o.has("rpcProps"):
		properties, err := readProperties(o.get("rpcProps"))
		if err != nil {
			return nil, fmt.Errorf("reading the client's properties: %w", err)
		}
		batch := s.feed.batch
		to, err := s.fromProperties(properties, &s.feed)
		if o.has("batch") {
			s.feed.batch = batch
		}
		return to, err
	case o.has("http"):
		return openHTTP(o.get("http"))
	case o.has("kafka"):
		settings := map[string]string{"kafka.bootstrap.servers": o.get("kafka"), "kafka.topic": o.get("topic"),
			"useFlumeEventFormat": strconv.FormatBool(!o.has("body")), "allowTopicOverride": "false"}
		if strings.Contains(o.get("topic"), "%") {
			settings["allowTopicOverride"] = "true" // or the name would be taken literally
		}
		more, err := pairs("set", o.values["set"])
		if err != nil {
			return nil, err
		}
		for _, h := range more {
			settings[h.Key] = h.Value
		}
		return s.kafka(settings)
	}
	protocol, addresses := client.Avro, o.get("avro")
	if o.has("thrift") {
		protocol, addresses = client.ThriftCompact, o.get("thrift")
		if o.has("binary") {
			protocol = client.ThriftBinary
		}
	}
	var receivers []client.Options
	for address := range strings.SplitSeq(addresses, ",") {
		receivers = append(receivers, client.Options{Address: strings.TrimSpace(address), Protocol: protocol, BatchSize: s.feed.batch})
	}
	if len(receivers) == 1 {
		return client.Open(receivers[0])
	}
	return client.OpenFailover(0, receivers...)
}

// all sends everything that the words of the line name.
func (s *sending) all(ctx context.Context) error {
	if len(s.o.words) == 0 {
		return s.feed.path(ctx, "-", s.in)
	}
	for _, path := range s.o.words {
		if err := s.feed.path(ctx, path, s.in); err != nil {
			return err
		}
	}
	return nil
}

// spooled sends over a buffer on the disk.
func (s *sending) spooled(ctx context.Context, to client.Sender) error {
	d := client.DurableOptions{Dir: s.o.get("spool"), BatchEvents: s.feed.batch, Log: slog.New(logline.New(slog.LevelWarn, s.err))}
	if text := s.o.get("spool-bytes"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return errors.Join(fmt.Errorf("option --spool-bytes: %q is not a number of bytes", text), to.Close())
		}
		d.MaxBytes = n
	}
	if s.o.has("drop-oldest") {
		d.Full = client.DropOldest
	}
	buffer, err := client.OpenDurable(to, d)
	if err != nil {
		return errors.Join(fmt.Errorf("send: %w", err), to.Close())
	}
	s.feed.to = buffer
	err = s.all(ctx)
	draining, cancel := context.WithTimeoutCause(ctx, s.wait, fmt.Errorf("not within %s (--wait)", s.wait))
	defer cancel()
	drained := buffer.Drain(draining)
	n := buffer.Stats()
	counts := map[string]int64{"given up": n.Dropped, "rejected": n.Rejected, "waiting": int64(n.Waiting)}
	fmt.Fprintf(s.err, "%s safe, %d delivered", count(int(n.Accepted), "event"), n.Delivered)
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		if counts[what] > 0 {
			fmt.Fprintf(s.err, ", %d %s", counts[what], what)
		}
	}
	fmt.Fprintln(s.err)
	switch {
	case err != nil:
		return fmt.Errorf("send: %w", err)
	case drained != nil && n.Waiting > 0:
		return &failure{statusWaiting, fmt.Errorf("send: %w", drained)}
	case drained != nil:
		return fmt.Errorf("send: %w", drained)
	case n.Dropped+n.Rejected > 0:
		return exit(statusFatal)
	}
	return nil
}
