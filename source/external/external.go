// Package external is the source that takes events from a program in any language, which prints lines of JSON: events
// that nobody waits for, or batches with an id, of which it is told what became.
//
//	{"headers":{"name":"value"},"body":"text"}          ◀── program   kept until the channels have taken it
//	{"id":1,"events":[{"body":"one"},{"body":"two"}]}   ◀── program   ──▶ {"id":1,"ok":true} or {"id":1,"error":"why"}
//
// A program that ends with status 0 is done, unless restart is set; one that ends otherwise is started again, with
// waits that grow from 0.1 s to 30 s. When the source ends, the program and what it has started get SIGTERM, and
// SIGKILL after stopTimeout. What has no id is still taken then; a batch with an id stays with the program.
//
// A line that cannot be read is answered with the error if it has an id, else it becomes a dead letter; the next ones
// are read. Package internal/external has the protocol.
package external

import (
	"context"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/external"
)

// Kind is the external source. Flume has none.
var Kind = unlisted(flume.Define[Settings, flume.Source]("external", "",
	"Takes events from a program in any language, as lines of JSON.", open))

func unlisted(k flume.Kind[flume.Source]) flume.Kind[flume.Source] {
	k.Unlisted = true
	return k
}

// Settings are what an external source can be told.
type Settings struct {
	Program  external.Settings
	Restart  bool
	Throttle time.Duration
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Under("", &s.Program)
	d.Bool(&s.Restart, "restart", false, "Whether the program is run again when it has ended with status 0. With another status it always is.")
	d.Millis(&s.Throttle, "restartThrottle", 10*time.Second, "How many milliseconds after such an end it is run again.").AtLeast(0)
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Source, error) {
	return external.OpenFeed(&s.Program, external.Restart{Done: s.Restart, After: s.Throttle}, env)
}
