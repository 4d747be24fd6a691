// Package avro is the Avro source: it takes events from Avro sinks, Flume's clients and log appenders over Avro RPC.
//
//	client ─▶ connection ─▶ append, appendBatch ─▶ Emit ─▶ OK: every required channel has committed
//	                                                       FAILED: it has not; the client sends again
//
// One call is one Emit, whatever its size. Calls on one connection are done in order, connections side by side. A
// client is always answered; its connection is closed only where what it sends is no Avro RPC, where a frame is larger
// than max-frame-size, or where a frame that has begun makes no progress for a minute. An idle connection holds a few KB.
//
// All calls in flight together hold max-memory at most, whatever arrives; who is beyond that is read later. One sixteenth
// of it is kept for frames of 64 KiB and less, so that these do not wait for large ones. While calls wait, a client that
// for 5 seconds (2, if all others wait for its call) sends less in a second than a 60th of what it holds is disconnected,
// the one that holds most first; as long as no call waits nobody is. The process may take twice as much from the system: Go collects garbage when the heap
// has doubled, or after two minutes, and gives memory back to the system little by little.
//
// A call that cannot be understood is answered with an error, counted in EventReadFail and logged, seldom.
//
// When the source stops it closes what is idle at once and answers the calls that it has begun.
package avro

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/tls"
)

// Kind is the Avro source.
var Kind = flume.Define[Settings, flume.Source]("avro", "org.apache.flume.source.AvroSource",
	"Takes events from Avro sinks and Flume's clients over Avro RPC.", open)

// Settings of the Avro source.
type Settings struct {
	Bind        string
	Port        int
	Threads     string
	Compression compression
	IPFilter    bool
	IPRules     string
	MaxFrame    int64
	MaxMemory   int64
	TLS         tls.Server

	rules rules // of IPRules
}

type compression string

const (
	none    compression = "none"
	deflate compression = "deflate"
)

// Declare declares Flume's settings and two of ours, max-frame-size and max-memory.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Bind, "bind", "", "The address or host name to listen on; 0.0.0.0 is every address of the machine.").Required()
	d.Int(&s.Port, "port", 0, "The TCP port to listen on.").AtLeast(0).AtMost(65535).Required()
	d.String(&s.Threads, "threads", "", "The most worker threads; read, and without effect.")
	conf.Choice(d, &s.Compression, "compression-type", none, "Whether clients compress, which must be the same on both ends. With ssl both orders are understood.", none, deflate).Lenient()
	d.Bool(&s.IPFilter, "ipFilter", false, "Close connections as ipFilterRules say.")
	d.String(&s.IPRules, "ipFilterRules", "", "Rules separated by commas, each allow or deny, ip or name, and a pattern with * and ?, "+
		"as in deny:ip:10.0.*,allow:name:localhost. The first that fits decides; who fits none is let in.")
	d.Int64(&s.MaxFrame, "max-frame-size", 64<<20, "The most bytes of one call; a larger one closes the connection. More than half of max-memory is taken as that half.").AtLeast(1 << 16)
	d.Int64(&s.MaxMemory, "max-memory", 128<<20, "The most bytes that calls hold together while they are received and put into the channels. "+
		"One call, with the events made from it, may hold eleven sixteenths; when others wait, clients that stall or trickle are disconnected.").AtLeast(1 << 20)
	d.Under("", &s.TLS)
	d.Check(func() error {
		if s.Threads == "" {
			return nil
		}
		return conf.Warn("threads", errors.New("has no effect, as in Flume 1.10 and later"))
	})
	d.Check(func() error {
		if !s.IPFilter {
			return nil
		}
		if s.IPRules == "" {
			return conf.At("ipFilterRules", errors.New("is required with ipFilter = true"))
		}
		var err error
		if s.rules, err = parseRules(s.IPRules); err != nil {
			return conf.At("ipFilterRules", err)
		}
		return s.rules.doubt()
	})
}

// Origins hands on all headers that the sender's events have.
func (s *Settings) Origins(received flume.Known) map[flume.Endpoint]flume.Known {
	return map[flume.Endpoint]flume.Known{flume.Endpoint("avro://" + s.address()): received}
}

// Holds is the address that the source listens on.
func (s *Settings) Holds() []flume.Endpoint {
	if s.Port == 0 { // any free one
		return nil
	}
	return []flume.Endpoint{flume.Endpoint("tcp://" + s.address())}
}

func (s *Settings) address() string {
	return net.JoinHostPort(strings.Trim(s.Bind, "[]"), strconv.Itoa(s.Port))
}

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	config, err := s.TLS.Config()
	if err != nil {
		return nil, err
	}
	address := s.address()
	if s.Bind == "0.0.0.0" {
		address = net.JoinHostPort("", strconv.Itoa(s.Port)) // IPv4 and IPv6, as Java has it
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", s.address(), err)
	}
	env.Log.Info("Listening for Avro RPC", "address", l.Addr().String())
	r := &source{
		listener: l, rules: s.rules, log: env.Log,
		appends: env.Counter("AppendReceivedCount"), appendsAccepted: env.Counter("AppendAcceptedCount"),
		batches: env.Counter("AppendBatchReceivedCount"), batchesAccepted: env.Counter("AppendBatchAcceptedCount"),
		connections: env.Counter("OpenConnectionCount"), bad: env.Counter("EventReadFail"),
		accepting: supervise.Trouble{Log: env.Log, Failing: "Clients cannot be accepted", Over: "Clients are accepted again"},
		reading:   supervise.Trouble{Log: env.Log, Failing: "A client is disconnected for what it sent"},
		decoding:  supervise.Trouble{Log: env.Log, Failing: "A call cannot be understood; its sender is told so"},
		waiting:   supervise.Trouble{Log: env.Log, Failing: "Clients have to wait, for calls hold as much as max-memory allows", Over: "No client waits for memory any more"},
		emitting:  supervise.Trouble{Log: env.Log, Failing: "The channels do not take events; the senders are told so", Over: "The channels take events again"},
	}
	budget := avrorpc.NewBudget(s.MaxMemory)
	budget.Pressed = r.pressed
	r.server = avrorpc.Server{
		Calls: r, MaxFrame: min(s.MaxFrame, s.MaxMemory/2), Budget: budget, TLS: config, Deflate: s.Compression == deflate, Refused: r.refused,
	}
	r.force, r.abandon = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

type source struct {
	listener net.Listener
	rules    rules
	log      *slog.Logger
	server   avrorpc.Server
	emit     flume.Emit

	force   context.Context // ends with Close, and with it every connection
	abandon context.CancelFunc

	appends, appendsAccepted, batches, batchesAccepted, connections *atomic.Int64

	bad *atomic.Int64 // calls that could not be understood, and connections closed for what they sent

	accepting, reading, decoding, waiting, emitting supervise.Trouble
}

// Run accepts connections until ctx ends, and then waits for the calls under way.
func (r *source) Run(ctx context.Context, emit flume.Emit) error {
	r.emit = emit
	ctx, cancel := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { r.listener.Close() })()
	defer context.AfterFunc(r.force, cancel)()
	for {
		conn, err := r.listener.Accept()
		switch {
		case err == nil:
			r.accepting.End()
			sessions.Go(func() { r.serve(ctx, conn) })
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		default: // mostly for want of file descriptors
			r.accepting.Report(slog.LevelWarn, err, time.Second)
			_ = supervise.Sleep(ctx, time.Second) // the listener is closed when ctx has ended
		}
	}
}

// Close abandons the calls under way.
func (r *source) Close() error {
	r.abandon()
	if err := r.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the port: %w", err)
	}
	return nil
}

func (r *source) serve(ctx context.Context, conn net.Conn) {
	r.connections.Add(1)
	defer r.connections.Add(-1)
	if r.rules != nil && !r.rules.allow(ctx, conn.RemoteAddr()) {
		conn.Close()
		r.log.Debug("A client is disconnected as ipFilterRules say", "from", conn.RemoteAddr().String())
		return
	}
	err := r.calls(ctx, conn)
	if err != nil {
		r.bad.Add(1)
		err = named(err)
		r.reading.Report(slog.LevelWarn, fmt.Errorf("reading from %s: %w", conn.RemoteAddr(), err), 0)
	}
}

// named says with an error which setting it is about.
func named(err error) error {
	switch {
	case errors.Is(err, avrorpc.ErrMemory), errors.Is(err, avrorpc.ErrSlow):
		return fmt.Errorf("%w (max-memory)", err)
	case errors.Is(err, avrorpc.ErrTooLarge):
		return fmt.Errorf("%w (max-frame-size)", err)
	}
	return err
}

// refused counts a call that was answered with an error.
func (r *source) refused(from net.Addr, err error) {
	r.bad.Add(1)
	r.decoding.Report(slog.LevelWarn, fmt.Errorf("reading a call of %s: %w", from, named(err)), 0)
	r.decoding.End() // the next one is another client's, or another mistake
}

// pressed says that clients wait for memory, or no longer.
func (r *source) pressed(err error) {
	if err == nil {
		r.waiting.End()
		return
	}
	r.waiting.Report(slog.LevelWarn, err, 0)
}

// calls answers a client's calls. A panic costs this client its connection only.
func (r *source) calls(ctx context.Context, conn net.Conn) (err error) {
	defer supervise.Recover("serving a client", &err)
	return r.server.Serve(ctx, r.force, conn)
}

// Append answers append.
func (r *source) Append(ctx context.Context, b flume.Batch) error {
	r.appends.Add(1)
	if err := r.put(ctx, b); err != nil {
		return err
	}
	r.appendsAccepted.Add(1)
	return nil
}

// AppendBatch answers appendBatch.
func (r *source) AppendBatch(ctx context.Context, b flume.Batch) error {
	r.batches.Add(1)
	if err := r.put(ctx, b); err != nil {
		return err
	}
	r.batchesAccepted.Add(1)
	return nil
}

func (r *source) put(ctx context.Context, b flume.Batch) error {
	if len(b) == 0 {
		return nil
	}
	err := r.emit(ctx, b)
	switch {
	case err == nil:
		r.emitting.End()
	case ctx.Err() == nil: // else the agent stops, and the sender keeps the events
		r.emitting.Report(slog.LevelWarn, err, 0)
	}
	return err
}
