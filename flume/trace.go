package flume

// What settings may say about where events come from and go to, so that check sees hazards before any event flows:
// loops, two components on one port, two channels in one directory. All of it is optional.

// An Endpoint is a place outside of the agent, such as kafka://127.0.0.1:9092/test3, avro://127.0.0.1:44444 or
// dir:///var/lib/flume. Two equal endpoints are the same place.
type Endpoint string

// Known is what can be said of an event's headers before there is one: header name to value. A name that is not in it
// may have any value or none.
type Known map[string]string

// An Origin is a source (or channel) that says where its events come from.
type Origin interface {
	// Origins maps each place to the headers that events from there have. Received is what the sender's events are
	// known to have; nil where the sender is not known. What the place does not hand on is not in the result.
	Origins(received Known) map[Endpoint]Known
}

// A Tracer is an interceptor that says what becomes of the headers.
type Tracer interface {
	Trace(k Known) Known
}

// A Destination is a sink (or channel) that says where events with these headers go.
type Destination interface {
	Destinations(k Known) []Endpoint
}

// A Holder names places that it needs for itself alone: a listening address, a directory.
type Holder interface {
	Holds() []Endpoint
}
