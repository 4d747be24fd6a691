// Package external is how a component talks to a program of the user's: lines of JSON, each an object, ended by LF.
// docs/guide/external.md has the protocol to the byte.
//
//	source        {"id":1,"events":[E,…]}   ◀── program        {"id":1,"ok":true} or {"id":1,"error":"why"} ──▶
//	              E                         ◀── program        (no answer: kept until the channels have taken it)
//	interceptor   {"id":1,"events":[E,…]}   ──▶ program        ◀── {"id":1,"events":[E,…],"rejected":[{"index":0,"error":"why"}]}
//	sink          {"id":1,"events":[E,…]}   ──▶ program        ◀── {"id":1,"ok":true,"rejected":[…],"pending":[2,3]}
//	E             {"headers":{"name":"value"},"body":"text"}, or "base64":"…" for a body that is no UTF-8
//
// A [Caller] calls the program of an interceptor or a sink, one call at a time. A [Feed] reads that of a source. Both
// bound a line, the time for an answer and how often a program is started again.
//
// How it fails: what is not the protocol ends the program, with an error that names the line; it is started again, with
// growing waits, and the batch is the channel's or the sender's again. A line of a source that has no id, and so nobody
// to be told, becomes a dead letter.
package external
