// Package external is the interceptor that asks a program in any language: each batch is a line of JSON, and so is the
// answer, with the events that go on. "cat" is a program that changes nothing.
//
//	{"id":1,"events":[E,…]}  ──▶ program
//	                         ◀── {"id":1,"events":[E,…],"rejected":[{"index":0,"error":"why"}]}   or {"id":1,"error":"why"}
//
// Events that are missing in the answer are dropped; those that are rejected become dead letters as they were. An error,
// an answer that cannot be read, or none within timeout, fails the batch: its source keeps it or says so to its sender.
// A program that broke is started again, with waits that grow from 0.1 s to 30 s; meanwhile batches fail at once.
//
// Batches go one after the other. Package internal/external has the protocol.
package external

import (
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/external"
)

// Kind is the external interceptor. Flume has none.
var Kind = unlisted(flume.Define[Settings, flume.Interceptor]("external", "",
	"Has a program in any language change, drop or reject events, as lines of JSON.", open))

func unlisted(k flume.Kind[flume.Interceptor]) flume.Kind[flume.Interceptor] {
	k.Unlisted = true
	return k
}

// Settings are what an external interceptor can be told.
type Settings struct {
	Program external.Settings
	Body    external.Bodies
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Under("", &s.Program)
	external.DeclareBodies(d, &s.Body)
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Interceptor, error) {
	return external.Open(&s.Program, s.Body, env)
}
