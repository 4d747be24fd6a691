package hdfs

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	rpcVersion   = 9
	authNone     = 0x00
	authSASL     = 0xdf
	callContext  = -3
	callSASL     = -33
	maxResponse  = 64 << 20 // bytes; a listing has 1,000 entries, a file with a million blocks is not read here
	clientProto  = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
	replicaProto = "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
)

// A RemoteError is an exception of Hadoop's: the class that was thrown and its text.
type RemoteError struct {
	Method, Class, Message string
}

func (e *RemoteError) Error() string {
	text, _, _ := strings.Cut(e.Message, "\n\tat ") // a stack trace
	return fmt.Sprintf("%s: %s: %s", e.Method, e.Class[strings.LastIndexAny(e.Class, ".$")+1:], strings.TrimSpace(text))
}

// Is answers for what every file system can say.
func (e *RemoteError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.is("FileNotFoundException", "PathIsNotFoundException")
	case fs.ErrExist:
		return e.is("FileAlreadyExistsException", "AlreadyBeingCreatedException", "PathIsNotEmptyDirectoryException")
	case fs.ErrPermission:
		return e.is("AccessControlException", "AuthorizationException", "SecurityException")
	}
	return false
}

func (e *RemoteError) is(classes ...string) bool {
	for _, c := range classes {
		if strings.HasSuffix(e.Class, "."+c) || strings.HasSuffix(e.Class, "$"+c) {
			return true
		}
	}
	return false
}

// A caller is who calls: the NameNode remembers by its id and the number of a call whether it has done that call.
type caller struct {
	id          [16]byte
	last        atomic.Int32
	user, proxy string // user acts as proxy, if that is not empty
	login       Login
	conns       sync.WaitGroup
	dial        func(ctx context.Context, network, addr string) (net.Conn, error)
}

func newCaller() *caller {
	c := &caller{}
	rand.Read(c.id[:])
	return c
}

// next numbers a call. A retry keeps the number.
func (c *caller) next() int32 { return c.last.Add(1) & 0x7fffffff }

// A conn carries the calls of many goroutines to one server, each answered in its own time.
type conn struct {
	caller   *caller
	protocol string
	nc       net.Conn
	in       *bufio.Reader
	sealed   Sealer // nil: messages go as they are
	ended    chan struct{}

	writing sync.Mutex

	mu      sync.Mutex
	waiting map[int32]chan<- answer
	err     error // why the connection has ended
}

type answer struct {
	data []byte
	err  error
}

// connect dials a server and says who calls. principal is the server's, for a login; "": as the
// server says.
func (c *caller) connect(ctx context.Context, addr, protocol, principal string) (*conn, error) {
	nc, err := c.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	k := &conn{caller: c, protocol: protocol, nc: nc, in: bufio.NewReader(nc), ended: make(chan struct{}), waiting: map[int32]chan<- answer{}}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	err = k.greet(ctx, principal)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("greeting %s: %w", addr, err)
	}
	c.conns.Go(k.read)
	return k, nil
}

func (k *conn) greet(ctx context.Context, principal string) error {
	auth := byte(authNone)
	if k.caller.login != nil {
		auth = authSASL
	}
	hello := []byte{'h', 'r', 'p', 'c', rpcVersion, 0, auth}
	if auth == authSASL {
		if _, err := k.nc.Write(hello); err != nil {
			return err
		}
		if err := k.authenticate(ctx, principal); err != nil {
			return err
		}
		hello = nil
	}
	user := new(message)
	switch {
	case k.caller.proxy == "":
		user.text(1, k.caller.user)
	case k.caller.login != nil: // the server knows who it is that acts as another
		user.text(1, k.caller.proxy)
	default:
		user.text(1, k.caller.proxy).text(2, k.caller.user)
	}
	body := delimited(k.header(callContext, -1), *new(message).bytes(2, *user).text(3, k.protocol))
	frame, err := k.frame(body)
	if err != nil {
		return err
	}
	_, err = k.nc.Write(append(hello, frame...))
	return err
}

// header is a delimited RpcRequestHeaderProto.
func (k *conn) header(call int32, retry int) []byte {
	id := k.caller.id[:]
	if call == callSASL {
		id = nil
	}
	m := new(message).num(1, 2).num(2, 0).sint(3, int64(call)).bytes(4, id).sint(5, int64(retry))
	return delimited(nil, *m)
}

// frame puts the length before a body, and wraps it where that was agreed on.
func (k *conn) frame(body []byte) ([]byte, error) {
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...)
	if k.sealed == nil {
		return frame, nil
	}
	token, err := k.sealed.Seal(frame)
	if err != nil {
		return nil, fmt.Errorf("wrapping a call: %w", err)
	}
	body = delimited(k.header(callSASL, -1), *new(message).num(2, saslWrap).bytes(3, token))
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...), nil
}

// readFrame reads what the server has sent, with its length cut off.
func readFrame(in *bufio.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxResponse {
		return nil, fmt.Errorf("an answer of %d bytes; at most %d are taken", n, maxResponse)
	}
	return readSome(in, int(n))
}

// readSome allocates as the bytes arrive, so that a length costs nothing.
func readSome(in io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(n, 2*cap(b))), b...)
		}
		m, err := io.ReadFull(in, b[len(b):cap(b)])
		b = b[:len(b)+m]
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// A response is the head of an answer.
type response struct {
	call   int32
	status uint64 // 0 success, 1 error, 2 fatal
	class  string
	text   string
}

func decodeResponse(frame []byte) (r response, rest []byte, err error) {
	head, rest, err := cut(frame)
	if err != nil {
		return r, nil, err
	}
	s := scan{rest: head}
	for s.next() {
		switch s.no {
		case 1:
			r.call = int32(uint32(s.num))
		case 2:
			r.status = s.num
		case 4:
			r.class = string(s.data)
		case 5:
			r.text = string(s.data)
		}
	}
	return r, rest, s.err
}

// read hands answers to those who wait, until the connection ends.
func (k *conn) read() {
	err := k.readAll()
	k.nc.Close()
	k.mu.Lock()
	k.err = err
	waiting := k.waiting
	k.waiting = nil
	k.mu.Unlock()
	for _, w := range waiting {
		w <- answer{err: err}
	}
	close(k.ended)
}

func (k *conn) readAll() error {
	for {
		frame, err := readFrame(k.in)
		if err != nil {
			return err
		}
		r, rest, err := decodeResponse(frame)
		if err == nil && r.call == callSASL {
			r, rest, err = k.unwrap(rest)
		}
		if err != nil {
			return fmt.Errorf("decoding an answer: %w", err)
		}
		var a answer
		switch {
		case r.status != 0:
			a.err = &RemoteError{Class: r.class, Message: r.text}
		default:
			a.data, _, a.err = cut(rest)
		}
		k.mu.Lock()
		w := k.waiting[r.call]
		delete(k.waiting, r.call)
		k.mu.Unlock()
		if w != nil {
			w <- a
		}
		if r.status == 2 {
			return a.err
		}
	}
}

// call does one try of a call.
func (k *conn) call(ctx context.Context, call int32, retry int, method string, request []byte) ([]byte, error) {
	body := k.header(call, retry)
	body = delimited(body, *new(message).text(1, method).text(2, k.protocol).num(3, 1))
	frame, err := k.frame(delimited(body, request))
	if err != nil {
		return nil, err
	}
	got := make(chan answer, 1)
	k.mu.Lock()
	if k.err != nil || k.waiting == nil {
		defer k.mu.Unlock()
		return nil, k.err
	}
	k.waiting[call] = got
	k.mu.Unlock()

	k.writing.Lock()
	k.nc.SetWriteDeadline(time.Now().Add(30 * time.Second)) // a server that reads nothing; half a frame is the end anyway
	_, err = k.nc.Write(frame)
	k.writing.Unlock()
	if err != nil {
		k.nc.Close()
	}
	select {
	case a := <-got:
		var remote *RemoteError
		if errors.As(a.err, &remote) {
			return nil, &RemoteError{Method: method, Class: remote.Class, Message: remote.Message}
		}
		return a.data, a.err
	case <-ctx.Done():
		k.mu.Lock()
		delete(k.waiting, call)
		k.mu.Unlock()
		return nil, context.Cause(ctx)
	}
}

func (k *conn) alive() bool {
	select {
	case <-k.ended:
		return false
	default:
		return true
	}
}

// close ends the connection and waits for its goroutine.
func (k *conn) close() {
	k.nc.Close()
	<-k.ended
}
