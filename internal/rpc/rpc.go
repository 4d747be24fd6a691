// Package rpc is what the sources that answer calls (Avro RPC, Thrift RPC, Scribe) have in common below their protocols:
// the port, the connections, and the memory that frames may take.
//
//	port ─▶ Source.Run ─▶ Session.Serve ─▶ Talk.Read ─▶ frame ─▶ Talk.Answer ─▶ Source.Put ─▶ Emit
//	                      one goroutine a connection    │                        nil: every required channel has committed
//	                                                    └── Reader: memory from the Loan of the call, out of one Budget
//
// Calls on one connection are done in order, connections side by side. Between calls a connection holds its goroutine and
// no buffer (but TLS its own, of 16 KB and more). A client is trusted for no length: memory for a frame is taken as the
// frame arrives. What all calls hold at
// one time is bounded by a [Budget], which also cuts off slow clients while others wait. A frame that has begun and makes
// no progress for a minute ends its connection.
//
// When the context of Run ends, idle connections are closed and the calls under way are answered; Close abandons them.
package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// ErrUnanswered means that the peer closed the connection instead of answering TLS or the first call, or that the answer
// was none: it probably speaks something else.
var ErrUnanswered = errors.New("no answer to the first call")

// Stranger says what a client speaks that starts like this, if it is one that finds its way to every port; else "".
func Stranger(head []byte) string {
	switch {
	case len(head) > 1 && head[0] == firstOfTLS && head[1] == 3:
		return "the peer speaks TLS (ssl = true), and this end does not"
	case bytes.HasPrefix(head, []byte("GET ")), bytes.HasPrefix(head, []byte("POST")), bytes.HasPrefix(head, []byte("HTTP")):
		return "the peer speaks HTTP"
	}
	return ""
}

// firstOfTLS is the first byte of a handshake record.
const firstOfTLS = 0x16

// AcceptTLS shakes hands as the server; config nil: the connection stays plain.
func AcceptTLS(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return conn, nil
	}
	secure := tls.Server(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("shaking hands over TLS: %w", err)
	}
	return secure, nil
}

// Send writes a client's frame, until ctx ends. An error leaves the connection in the middle of it.
func Send(ctx context.Context, conn net.Conn, frame []byte) error {
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	_, err := conn.Write(frame)
	if !stop() {
		return fmt.Errorf("sending: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// DialTLS shakes hands as the client; config nil: the connection stays plain.
func DialTLS(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return conn, nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil, fmt.Errorf("%w: shaking hands over TLS: %w", ErrUnanswered, err)
		}
		return nil, fmt.Errorf("shaking hands over TLS: %w", err)
	}
	return secure, nil
}
