package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// A namenode does the calls of all files, at the NameNode of the service that is active. A call is tried until it is
// done or its context ends: a NameNode that is gone, stands by, starts or is in safe mode is only a delay. The number
// of a call stays the same over all its tries, so that one whose answer was lost is not done twice.
type namenode struct {
	caller    *caller
	addrs     []string
	principal string // of the service, with _HOST; "" if it is not configured
	patience  time.Duration
	try       time.Duration // for one try, so that a host that is silent is left for another

	dialing chan struct{} // holds a value while somebody connects; the others wait for that

	mu      sync.Mutex
	current int   // in addrs
	conn    *conn // nil until a call needs it
	closed  bool
}

// isStandby is the answer of a NameNode that is not the active one.
func isStandby(err error) bool {
	var r *RemoteError
	return errors.As(err, &r) && r.is("StandbyException", "ObserverRetryOnActiveException")
}

// isPassing is an answer that will be another in a while. That no node can take a block now, because all are gone, full
// or too busy, has no class of its own.
func isPassing(err error) bool {
	var r *RemoteError
	return errors.As(err, &r) && (r.is("RetriableException", "SafeModeException", "NotReplicatedYetException") ||
		r.is("IOException") && strings.Contains(r.Message, "could only be "))
}

func (n *namenode) call(ctx context.Context, method string, request *message) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	id := n.caller.next()
	pause := 50 * time.Millisecond
	var last error
	for retry := 0; ; retry++ {
		data, err := n.once(ctx, id, retry, method, *request)
		if err == nil {
			return data, nil
		}
		var remote *RemoteError
		if errors.Is(err, fs.ErrClosed) || errors.As(err, &remote) && !isStandby(err) && !isPassing(err) {
			return nil, err
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w; last: %w", method, context.Cause(ctx), last)
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// once tries a call at the current NameNode; where that is not the one, or does not answer, the next try goes to
// another.
func (n *namenode) once(ctx context.Context, id int32, retry int, method string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.try)
	defer cancel()
	k, err := n.connected(ctx)
	if err != nil {
		return nil, err
	}
	data, err := k.call(ctx, id, retry, method, request)
	var remote *RemoteError
	if err != nil && (!errors.As(err, &remote) || isStandby(err)) {
		n.leave(k, err)
	}
	return data, err
}

// connected returns the connection that all calls share.
func (n *namenode) connected(ctx context.Context) (*conn, error) {
	select {
	case n.dialing <- struct{}{}:
		defer func() { <-n.dialing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	n.mu.Lock()
	k, addr, closed := n.conn, n.addrs[n.current], n.closed
	n.mu.Unlock()
	if closed {
		return nil, fs.ErrClosed
	}
	if k != nil && k.alive() {
		return k, nil
	}
	principal := n.principal
	if host, _, err := net.SplitHostPort(addr); err == nil {
		principal = strings.Replace(principal, "_HOST", strings.ToLower(host), 1)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	k, err := n.caller.connect(ctx, addr, clientProto, principal)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.current = (n.current + 1) % len(n.addrs)
		return nil, fmt.Errorf("connecting to the NameNode %s: %w", addr, err)
	}
	if n.closed {
		k.nc.Close()
		return nil, fs.ErrClosed
	}
	n.conn = k
	return k, nil
}

// leave gives up a connection that did not serve, unless another caller has already.
func (n *namenode) leave(k *conn, cause error) {
	n.mu.Lock()
	if n.conn == k {
		n.conn = nil
		if isStandby(cause) || len(n.addrs) > 1 {
			n.current = (n.current + 1) % len(n.addrs)
		}
	}
	n.mu.Unlock()
	k.nc.Close() // its goroutine ends by that, and with it the other calls, which try again
}

func (n *namenode) close() {
	n.mu.Lock()
	n.closed = true
	k := n.conn
	n.mu.Unlock()
	if k != nil {
		k.nc.Close()
	}
	n.caller.conns.Wait()
}
