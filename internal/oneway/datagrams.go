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
	Outlet *Outlet
	Reader DatagramReader // set before Run
	Who    Senders

	conn      *net.UDPConn
	log       *slog.Logger
	receiving supervise.Trouble
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
	return &Datagrams{
		Outlet: NewOutlet(env), conn: conn, log: env.Log, buf: make([]byte, arrived),
		receiving: supervise.Trouble{Log: env.Log, Failing: "Datagrams cannot be received", Over: "Datagrams are received again"},
	}, nil
}

// Addr is where it listens.
func (d *Datagrams) Addr() net.Addr { return d.conn.LocalAddr() }

// Run receives datagrams until ctx ends.
func (d *Datagrams) Run(ctx context.Context, emit flume.Emit) error {
	d.Outlet.Emit = emit
	defer context.AfterFunc(ctx, func() { _ = d.conn.Close() })() // it can only have been closed before
	for {
		err := d.receive(ctx)
		if d.Reader.Len() > 0 {
			events := func(from, to int) flume.Batch { return d.Reader.Events(from, to, d.senders) }
			_ = d.Outlet.Put(ctx, d.Reader.Len(), events) // it has said what is lost; ctx has ended then
		}
		d.Reader.Clear()
		switch {
		case err == nil:
			d.receiving.End()
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			d.receiving.Report(slog.LevelWarn, err, time.Second)
			_ = supervise.Sleep(ctx, time.Second) // the port is closed when ctx has ended
		}
	}
}

// receive waits for a datagram and takes those that come with it.
func (d *Datagrams) receive(ctx context.Context) error {
	d.last, d.senders = netip.AddrPort{}, d.senders[:0]
	if err := d.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	for used, first := 0, true; len(d.buf)-used >= mostDatagram && d.Reader.Len() < d.Outlet.Most; first = false {
		n, from, err := d.conn.ReadFromUDPAddrPort(d.buf[used:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
		if from != d.last || first {
			d.last = from
			d.senders = append(d.senders, d.Who.Headers(ctx, from))
		}
		d.Reader.Datagram(d.buf[used:used+n], len(d.senders)-1)
		used += n
		if first {
			if err := d.conn.SetReadDeadline(time.Now().Add(linger)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends a Run that is under way. What has been received is offered to the channels once more.
func (d *Datagrams) Close() error {
	if err := d.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the port: %w", err)
	}
	return nil
}
