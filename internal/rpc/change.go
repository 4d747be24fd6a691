package rpc

// A Change is what became of a client's connection.
type Change int

// The changes: a connection was opened, could not be opened, was closed.
const (
	Connected Change = iota
	NotConnected
	Closed
)
