package flume

// What sinks that write every event exactly once need: to know an event again. The Kafka source gives each event a
// PositionHeader where a sink behind it asks for one (decision 0011). Package internal/position reads and keeps them.
//
//	sink asks (ExactlyOnce) ─▶ check: channel (Unrepeatable), source (Positioner) ─▶ Env.Positions
//
// The header is Sluice's own. Interceptors see it and cannot lose it; channels and sinks that did not ask, and the dead
// letters, never get it.

// PositionHeader is the header that holds where an event comes from: cluster/topic/partition/offset.
const PositionHeader = "sluice.position"

// An ExactlyOnce is the settings of a sink that may ask for the position of each event. Check refuses the sink where the
// agent's wiring cannot give it.
type ExactlyOnce interface {
	// ExactlyOnce returns the setting that asks, such as "hdfs.exactlyOnce"; empty: it does not ask. Headers are those that
	// say where an event goes: interceptors that give the same event another value each time may not set them.
	ExactlyOnce() (setting string, headers []string)
}

// A Positioner is the settings of a source that sets PositionHeader on every event where Env.Positions says so. The
// position of an event is the same each time that the source reads it, and no other event's.
type Positioner interface {
	Positioner() bool
}

// Unrepeatable is what the settings of a channel may say of themselves: why what goes through it cannot be written
// exactly once, because it loses headers or the events themselves. Nil: it can.
type Unrepeatable interface {
	Unrepeatable() error
}

// Unsteady is what the settings of an interceptor may say of themselves: which headers get another value when the same
// event passes again, as those with the present time do.
type Unsteady interface {
	Unsteady() []string
}
