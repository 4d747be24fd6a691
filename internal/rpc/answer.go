package rpc

import "fmt"

// Status is the answer to a call. Each protocol has numbers of its own for it.
type Status string

// The answers that Flume's protocols know. Flume itself sends the first two.
const (
	OK      Status = "OK"
	Failed  Status = "FAILED"
	Error   Status = "ERROR" // Thrift only
	Unknown Status = "UNKNOWN"
)

// A StatusError is an answer other than OK: the receiver's channel did not take the events. The connection lives on.
type StatusError struct{ Status Status }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the receiver answered %s: its channel did not take the events", e.Status)
}

// A RemoteError is what the receiver says went wrong while it read or processed the call. The connection lives on.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return "the receiver answered with an error: " + e.Text }
