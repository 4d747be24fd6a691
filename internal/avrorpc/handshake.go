package avrorpc

import "encoding/binary"

// match is the server's verdict on a handshake.
type match int64

const (
	matchBoth   match = iota // it knows the client's protocol, and the client knows its
	matchClient              // it knows the client's protocol and sends its own
	matchNone                // it does not know the client's protocol: the client sends the call again, with the text
)

// greeting is a handshake request.
type greeting struct {
	client hash
	text   []byte // the client's protocol; nil: not sent
	server hash   // what the client takes the server's protocol for
}

func readGreeting(r *reader) greeting {
	var g greeting
	g.client = r.hash("the client's hash")
	if r.branch(2, "the client's protocol") == 1 {
		g.text = r.bytes("the client's protocol")
	}
	g.server = r.hash("the server's hash")
	if r.branch(2, "the handshake's meta") == 1 {
		r.meta("the handshake's meta")
	}
	return g
}

func (g greeting) append(dst []byte) []byte {
	dst = append(dst, g.client[:]...)
	if g.text == nil {
		dst = append(dst, 0)
	} else {
		dst = appendBytes(append(dst, 2), g.text)
	}
	dst = append(dst, g.server[:]...)
	return append(dst, 2, 0) // an empty map, as Java's clients
}

// verdict is a handshake response.
type verdict struct {
	match  match
	server *hash // nil: not sent
}

func readVerdict(r *reader) verdict {
	var v verdict
	v.match = match(r.branch(3, "the handshake's match"))
	if r.branch(2, "the server's protocol") == 1 {
		r.bytes("the server's protocol")
	}
	if r.branch(2, "the server's hash") == 1 {
		h := r.hash("the server's hash")
		v.server = &h
	}
	if r.branch(2, "the handshake's meta") == 1 {
		r.meta("the handshake's meta")
	}
	return v
}

// appendVerdict writes the answer to a handshake; with BOTH the client is told nothing more.
func appendVerdict(dst []byte, m match) []byte {
	dst = binary.AppendVarint(dst, int64(m))
	if m == matchBoth {
		return append(dst, 0, 0, 0)
	}
	own := textHash()
	dst = appendBytes(append(dst, 2), protocolText)
	dst = append(append(dst, 2), own[:]...)
	return append(dst, 0)
}
