package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/sluice-io/sluice/client"
)

func avroClientOptions() []option {
	return []option{
		{short: "H", long: "host", arg: "HOST", doc: "the host of an avro source"},
		{short: "p", long: "port", arg: "PORT", doc: "its port"},
		{short: "P", long: "rpcProps", arg: "FILE", doc: "the properties of an RPC client: hosts, failover, TLS and more; then without host and port"},
		{short: "F", long: "filename", arg: "FILE", doc: "a file whose lines are sent (default: the standard input)"},
		{long: "dirname", arg: "DIR", doc: "a directory whose files are sent; each is renamed to NAME.COMPLETED when it has been"},
		{short: "R", long: "headerFile", arg: "FILE", doc: "properties, which are the headers of every event"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// byLine is how many events Flume's command sends at a time where no properties say otherwise.
const byLine = 5

// runAvroClient is Flume's command avro-client.
func runAvroClient(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	if len(o.words) > 0 {
		return fmt.Errorf("avro-client: the word %q belongs to no option; a file is named with -F", o.words[0])
	}
	if o.has("filename") && o.has("dirname") {
		return errors.New("avro-client: --filename and --dirname exclude each other")
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	f := &feed{batch: byLine}
	if f.to, err = p.rpcClient(&o, f); err != nil {
		return err
	}
	defer func() { _ = f.to.Close() }() // every call has been answered
	if path := o.get("headerFile"); path != "" {
		headers, err := readProperties(path)
		if err != nil {
			fmt.Fprintf(p.err, "%s: reading the headers, which are left out: %v\n", p.name, err)
		}
		f.headers = headersOf(headers)
	}
	if l.dry {
		fmt.Fprintln(p.out, "would send events")
		return nil
	}
	ctx := context.Background()
	switch {
	case o.has("dirname"):
		err = p.consume(ctx, o.get("dirname"), f)
	case o.has("filename"):
		err = f.file(ctx, o.get("filename"))
	default:
		err = f.lines(ctx, p.in, "the standard input")
	}
	if err != nil {
		return fmt.Errorf("avro-client: %w (before it, %s sent)", err, count(f.sent, "event"))
	}
	return nil
}

// rpcClient opens the client that the options ask for, and gives the feed its batch size.
func (p *program) rpcClient(o *options, f *feed) (client.Sender, error) {
	if file := o.get("rpcProps"); file != "" {
		properties, err := readProperties(file)
		if err != nil {
			return nil, fmt.Errorf("reading the client's properties: %w", err)
		}
		return p.fromProperties(properties, f)
	}
	if !o.has("host") || !o.has("port") {
		return nil, errors.New("avro-client: where to? -H HOST -p PORT, or -P FILE with the properties of an RPC client")
	}
	port, err := strconv.ParseUint(o.get("port"), 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("option --port: %q is not a port", o.get("port"))
	}
	return client.Open(client.Options{Address: net.JoinHostPort(o.get("host"), o.get("port")), BatchSize: f.batch})
}

func (p *program) fromProperties(properties map[string]string, f *feed) (client.Sender, error) {
	f.batch = 100
	if n, err := strconv.Atoi(properties["batch-size"]); err == nil && n > 0 {
		f.batch = n
	}
	return client.FromProperties(properties, func(odd string) { fmt.Fprintln(p.err, "warning:", odd) })
}
