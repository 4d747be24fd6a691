// Package avrorpc is the Avro RPC that Flume agents speak to each other: both ends of one connection.
//
//	client                                                    server
//	Call ─▶ [handshake] call ─▶ frame ─▶ (TLS, deflate) ─▶ TCP ─▶ frame ─▶ Calls.Append, Calls.AppendBatch
//	     ◀─ [handshake] answer ◀─────────────────────────────────────── nil: OK; an error: FAILED
//
// A frame carries one payload. All numbers are big-endian; buffers only cut the payload in pieces, an empty one is legal.
//
//	int32 serial       the client's choice; the answer repeats it
//	int32 n            buffers, 1 at least
//	n × { int32 length, bytes }
//
// The first payload of a connection starts with a handshake, and so does its answer (meta as in Java's clients: 02 00):
//
//	request   16 bytes client hash | 00, or 02 and the client's protocol text | 16 bytes server hash | 00, or 02 and a map of bytes
//	answer    00 BOTH, 02 CLIENT, 04 NONE | 00, or 02 and the server's text | 00, or 02 and its 16-byte hash | 00 or a map
//
// BOTH and CLIENT are followed by the answer to the call. After NONE, which ends the payload, the client sends the call
// again with its text. Then, and in every later payload:
//
//	call      map of bytes (meta) | string name | append: an event; appendBatch: an array of events (package event)
//	answer    map of bytes (meta) | 00 | status: 00 OK, 02 FAILED, 04 UNKNOWN
//	          map of bytes (meta) | 01 | 00 | string: what went wrong outside of the channel
//	ping      an empty name; the answer has no byte after the handshake
//
// The server answers what it does not understand with the error flag and keeps the connection; a frame that cannot be
// one (no buffers, a negative or unbearable length) closes it. Calls on one connection are done in order, connections
// side by side. What frames and the events cut from them hold at one time is bounded (package rpc).
//
// Deflate is one zlib stream a direction for the life of the connection, flushed after each write. With TLS too, Flume
// 1.10 and later compress what TLS has made; older ones encrypt what zlib has made. The server tells by the first byte.
package avrorpc

import (
	"encoding/hex"

	"github.com/sluice-io/sluice/internal/rpc"
)

// statuses are what the numbers of the answers mean.
var statuses = [...]rpc.Status{rpc.OK, rpc.Failed, rpc.Unknown}

// The answers that a server gives, as the protocol writes their numbers.
const (
	wireOK     = 0
	wireFailed = 1 << 1
)

// protocolText says what Flume's protocol says, in 509 bytes.
const protocolText = `{"protocol":"AvroSourceProtocol","namespace":"org.apache.flume.source.avro","types":[` +
	`{"type":"enum","name":"Status","symbols":["OK","FAILED","UNKNOWN"]},` +
	`{"type":"record","name":"AvroFlumeEvent","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}],` +
	`"messages":{"append":{"request":[{"name":"event","type":"AvroFlumeEvent"}],"response":"Status"},` +
	`"appendBatch":{"request":[{"name":"events","type":{"type":"array","items":"AvroFlumeEvent"}}],"response":"Status"}}}`

// hash names a protocol: the MD5 of its text.
type hash [16]byte

// flumeHash is that of every Flume since 1.3, whose text has a licence in it; textHash is that of protocolText. Both
// mean the same protocol, and a peer that hears the first never asks for a text.
func flumeHash() hash { return parseHash("86aadae2c45474c0fe93ffd0f2350a65") }
func textHash() hash  { return parseHash("30da54059df72d9584b867d5202e2069") }

func parseHash(s string) hash {
	var h hash
	if n, err := hex.Decode(h[:], []byte(s)); err != nil || n != len(h) {
		panic("BUG: " + s + " is no hash")
	}
	return h
}

// ours reports whether h names our protocol.
func (h hash) ours() bool { return h == flumeHash() || h == textHash() }

// The two messages of the protocol.
const (
	appendName      = "append"
	appendBatchName = "appendBatch"
)
