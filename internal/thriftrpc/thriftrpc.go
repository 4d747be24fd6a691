// Package thriftrpc is Thrift as Flume agents speak it, and Scribe: both ends of one connection.
//
//	client                                       server
//	Call ─▶ call ─▶ frame ─▶ (TLS) ─▶ TCP ─▶ frame ─▶ Calls.Append, Calls.AppendBatch, or Log of Scribe
//	     ◀─ reply ◀──────────────────────────────────── nil: OK; an error: FAILED, or TRY_LATER of Scribe
//
// A frame carries one message: int32 length, as many bytes. All fixed numbers are big-endian.
//
//	service ThriftSourceProtocol   Status append(1: ThriftFlumeEvent event)
//	                               Status appendBatch(1: list<ThriftFlumeEvent> events)
//	struct ThriftFlumeEvent        1: required map<string, string> headers, 2: required binary body
//	enum Status                    OK 0, FAILED 1, ERROR 2, UNKNOWN 3
//	service Scribe                 ResultCode Log(1: list<LogEntry> messages)
//	struct LogEntry                1: string category, 2: string message
//	enum ResultCode                OK 0, TRY_LATER 1
//
// There are two ways to write that down. Varints are base-128, low group first; zz means zig-zag before it.
//
//	                  compact                                          binary
//	message           82, kind<<5 | 1, varint sequence, string name    8001, 00, kind, string name, int32 sequence
//	                                                                   or, old style: string name, kind, int32 sequence
//	field             delta<<4 | type; without delta: type, zz id      type, int16 id
//	end of fields     00                                               00
//	string, binary    varint length, bytes                             int32 length, bytes
//	map               varint n, and if n > 0 key<<4 | value type       key type, value type, int32 n
//	list              n<<4 | type; from 15 on f<<4 | type, varint n    type, int32 n
//	enum              zz                                               int32
//
// A message is of kind CALL 1, REPLY 2 or EXCEPTION 3. A reply is a struct whose field 0 is the status; an exception is a
// struct of a text (field 1) and a type (field 2): UNKNOWN_METHOD 1, INTERNAL_ERROR 6, PROTOCOL_ERROR 7. Scribe answers
// in the old style, whatever it was asked in.
//
// Fields may come in any order; those that nobody knows are skipped; of one that comes twice the last counts, as in Java.
// The server answers what it cannot read behind the name of a call with an exception and keeps the connection, whose
// frames say where the next call begins. What does not start as a message of the protocol that it speaks, or says it is
// longer than it may be, closes the connection.
//
// Decoding goes over a call twice, as in package event: it is counted and checked first and cut then.
package thriftrpc

import (
	"errors"

	"github.com/sluice-io/sluice/internal/rpc"
)

// A Protocol is a way to write messages.
type Protocol int

// The protocols of Flume. The zero value is Flume's default.
const (
	Compact Protocol = iota
	Binary
)

// MaxFrame is the most bytes of a frame that Flume takes; it closes the connection of a client that sends more.
const MaxFrame = 16_384_000

// What Flume's services call things.
const (
	appendName      = "append"
	appendBatchName = "appendBatch"
	logName         = "Log"
)

// kinds of messages
const (
	kindCall      = 1
	kindReply     = 2
	kindException = 3
	kindOneway    = 4
)

// types of exceptions
const (
	unknownMethod = 1
	internalError = 6
	protocolError = 7
)

// statuses are what the numbers of the answers mean.
var statuses = [...]rpc.Status{rpc.OK, rpc.Failed, rpc.Error, rpc.Unknown}

// The statuses that the servers send. Scribe's TRY_LATER has the number of FAILED.
const (
	wireOK     = 0
	wireFailed = 1
)

// errNoCall is wrapped by every error about bytes that cannot be a message of the protocol that this end speaks.
var errNoCall = errors.New("what arrived is no Thrift call")

// errStruct is wrapped by every error about the arguments of a call, or the fields of an answer.
var errStruct = errors.New("reading Thrift")

// A type is what a field or an element is, with the numbers of the binary protocol.
const (
	typeStop   = 0
	typeBool   = 2
	typeByte   = 3
	typeDouble = 4
	typeI16    = 6
	typeI32    = 8
	typeI64    = 10
	typeString = 11
	typeStruct = 12
	typeMap    = 13
	typeSet    = 14
	typeList   = 15
	typeUUID   = 16
	typeTrue   = 17 // of a field of the compact protocol: the value stands in the type
)

// compactTypes are the types as the compact protocol numbers them; 0 and 1 are only true of fields.
var compactTypes = [...]byte{typeStop, typeTrue, typeTrue, typeByte, typeI16, typeI32, typeI64, typeDouble, typeString, typeList, typeSet, typeMap, typeStruct, typeUUID}
