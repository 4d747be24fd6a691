// Package flume is the vocabulary: what an event is, what each kind of component does, and the contracts between them.
//
//	Source ─▶ Interceptors ─▶ Selector ─▶ Channel   |   Channel ─▶ SinkProcessor ─▶ Sink
//	one call, one goroutine; nil = acknowledged     |   one call, one goroutine
//
// An event moves one way. What comes back is a return value: nil from [Emit] is the acknowledgement.
//
// Who owns a batch: a source gives it away with Emit; an interceptor owns it while it holds it; from the selector on
// events are read-only, for two channels may hold one; a sink borrows it until Deliver returns. Bodies and header
// strings are never changed in place. A batch that keeps less than half of the frame it was cut from is copied out, so
// that a trickle pins nothing.
//
// A component that exists works: Open returns it or an error, Close ends it, restarting is Open again.
package flume
