// Package agent assembles an agent from its configuration, runs it and stops it.
//
//	conf.Agent ──New──▶ wiring: what is bound, who is connected to whom ──Run──▶
//
//	 source ─emit─▶ interceptors ─▶ selector ─▶ Put in each channel ─▶ Commit in each        one goroutine a batch (inlet)
//	 channel ─Take─▶ sink processor ─▶ Deliver ─▶ commit, dead letters, or back              one goroutine a sink or group (runner, drain)
//
// What a component's section gets wrong keeps that component out, and what cannot do without it; the rest of the agent
// runs. A source goes on with the channels that it has left, as in Flume. A sink group that cannot be made takes its
// sinks with it: alone they would deliver what the group was to keep from them. Of a group of which one sink is left
// that one runs alone.
//
// Nothing is lost between source and sink. A batch is prepared in every required channel before it is committed in any,
// and acknowledged when all have committed. A batch that a sink has taken is committed when it is delivered, or when
// what was rejected of it is in the dead letters; what fails goes back to the head of its channel, or, where the sink
// says that order does not matter, waits aside while the flow goes on.
//
// Opening: every component has a goroutine that keeps it open ([internal/supervise]): channels, then sinks, then
// sources, each as soon as its channels are open. One that cannot open is tried again and holds up only those that need
// it. Stopping goes the other way, under two contexts. The soft one ends first: sources stop, sinks drain the channels
// whose events would be gone with the process. The hard one ends with StopTimeout or Kill: what is in flight is
// abandoned and rolls back, and what is lost with it is said at ERROR.
//
// A panic of a component is an error like any other, said with its stack as the bug that it is: a source or sink that
// panics is closed and opened again, a batch whose interceptor, selector or channel panics is rolled back.
package agent
