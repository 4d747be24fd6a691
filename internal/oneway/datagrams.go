package oneway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/offer"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A DatagramReader turns datagrams into events. It is used by one goroutine.
type DatagramReader interface {
	Datagram(p []byte, sender int) // p stays as it is until Clear; senders are numbered anew behind it
	Len() int
	Clear()
	// Events makes events of the messages from one to another, with the headers that name their senders.
	Events(from, to int, senders []flume.Headers) flume.Batch
}

// Datagrams is the flume.Source of a UDP port.
type Datagrams struct {
	Offer  *offer.Offer
	Reader DatagramReader // set before Run
	Who    Senders

	conn      *net.UDPConn
	force     context.Context // ends with Close
	abandon   context.CancelFunc
	log       *slog.Logger
	receiving supervise.Trouble
	dropping  supervise.Trouble
	overflow  overflow
	dropped   uint32 // by the kernel, as far as has been said
	buf       []byte
	last      netip.AddrPort // the sender of the last datagram of the batch
	senders   []flume.Headers
}

const (
	mostDatagram = 64 << 10
	arrived      = 4 * mostDatagram // of datagrams that are emitted together
	kernelBuffer = 4 << 20          // asked for; the kernel gives what it allows
	linger       = time.Millisecond // a datagram that comes this soon has as good as arrived
)

// ListenDatagrams opens the port; speech is what is spoken there, for the log.
func ListenDatagrams(ctx context.Context, host string, port int, speech string, env flume.Env) (*Datagrams, error) {
	address := rpc.Address(host, port)
	all := address
	if host == "0.0.0.0" {
		all = rpc.Address("", port) // IPv4 and IPv6, as Java has it
	}
	var lc net.ListenConfig
	l, err := lc.ListenPacket(ctx, "udp", all)
	if err != nil {
		return nil, fmt.Errorf("listening on UDP %s: %w", address, err)
	}
	conn, ok := l.(*net.UDPConn)
	if !ok {
		panic("BUG: a UDP port that is none")
	}
	_ = conn.SetReadBuffer(kernelBuffer) // without it bursts are lost sooner
	env.Log.Info("Listening for "+speech, "address", "udp "+conn.LocalAddr().String())
	force, abandon := context.WithCancel(context.WithoutCancel(ctx))
	return &Datagrams{
		Offer: NewOffer(env), overflow: newOverflow(conn), force: force, abandon: abandon, conn: conn, log: env.Log, buf: make([]byte, arrived),
		receiving: supervise.Trouble{Log: env.Log, Failing: "Datagrams cannot be received", Over: "Datagrams are received again"},
		dropping:  supervise.Trouble{Log: env.Log, Failing: "Datagrams are lost: they came faster than the source took them, and the kernel had no room (net.core.rmem_max)"},
	}, nil
}

// Addr is where it listens.
func (d *Datagrams) Addr() net.Addr { return d.conn.LocalAddr() }

// Run receives datagrams until ctx ends; then those that are there, as much as the kernel can hold of them.
func (d *Datagrams) Run(ctx context.Context, emit flume.Emit) error {
	d.Offer.Emit = emit
	ctx, cancel := context.WithCancel(ctx)
	d.Who.Aside = true
	defer d.Who.Wait()
	defer cancel()
	defer func() { _ = d.conn.Close() }() // it can only have been closed before
	defer context.AfterFunc(ctx, func() { _ = d.conn.SetReadDeadline(time.Unix(1, 0)) })()
	for left := kernelBuffer; left > 0; {
		stopping := ctx.Err() != nil
		n, err := d.receive(ctx, stopping)
		if d.Reader.Len() > 0 {
			events := offer.Of(d.Reader.Len(), func(from, to int) flume.Batch { return d.Reader.Events(from, to, d.senders) })
			if err := d.Offer.Keep(d.force, events); err != nil {
				d.Offer.Trouble.Lost(events.Len(), err)
			}
		}
		d.Reader.Clear()
		switch {
		case stopping && (n == 0 || err != nil), errors.Is(err, net.ErrClosed):
			return nil
		case stopping:
			left -= n
		case err == nil:
			d.receiving.End()
		default:
			d.receiving.Report(slog.LevelWarn, err, time.Second)
			_ = supervise.Sleep(ctx, time.Second) // the loop looks at ctx
		}
	}
	return nil
}

// receive waits for a datagram, stopping not for long, and takes those that come with it: so many bytes.
func (d *Datagrams) receive(ctx context.Context, stopping bool) (used int, err error) {
	d.last, d.senders = netip.AddrPort{}, d.senders[:0]
	var until time.Time
	if stopping {
		until = time.Now().Add(linger)
	}
	if err := d.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	if !stopping && ctx.Err() != nil {
		return 0, nil // the end of ctx may have set its deadline before
	}
	for first := true; len(d.buf)-used >= mostDatagram && d.Reader.Len() < d.Offer.Most; first = false {
		n, told, _, from, err := d.conn.ReadMsgUDPAddrPort(d.buf[used:], d.overflow.oob)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return used, nil
		case err != nil:
			return used, err
		}
		if all, ok := d.overflow.dropped(told); ok && all != d.dropped {
			d.dropped = all
			d.dropping.Report(slog.LevelWarn, fmt.Errorf("%d since the port was opened", all), 0)
			d.dropping.End() // the next ones are others
		}
		if from != d.last || first {
			d.last = from
			d.senders = append(d.senders, d.Who.Headers(ctx, from))
		}
		d.Reader.Datagram(d.buf[used:used+n], len(d.senders)-1)
		used += n
		if first {
			if err := d.conn.SetReadDeadline(time.Now().Add(linger)); err != nil {
				return used, err
			}
		}
	}
	return used, nil
}

// Close ends a Run that is under way without waiting for the channels.
func (d *Datagrams) Close() error {
	d.abandon()
	if err := d.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the port: %w", err)
	}
	return nil
}
