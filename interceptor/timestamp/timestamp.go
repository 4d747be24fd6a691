// Package timestamp is the interceptor that stamps events with the time at which the agent got them: milliseconds since
// 1970 UTC, in decimal, in the header timestamp. All events of a batch get one time.
package timestamp

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the timestamp interceptor.
var Kind = flume.Define[Settings, flume.Interceptor]("timestamp", "org.apache.flume.interceptor.TimestampInterceptor$Builder",
	"Gives every event a header with the present time in milliseconds.", open)

// Settings are what a timestamp interceptor can be told.
type Settings struct {
	Header           string
	PreserveExisting bool
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "headerName", "timestamp", "The name of the header.")
	d.Bool(&s.PreserveExisting, "preserveExisting", false, "Whether an event that has the header already keeps its value.")
}

// Trace says what becomes of the headers: the time is not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	k = maps.Clone(k)
	delete(k, s.Header)
	return k
}

// Unsteady names the header, which an event that comes again has another value of.
func (s *Settings) Unsteady() []string {
	if s.PreserveExisting {
		return nil
	}
	return []string{s.Header}
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	b.SetHeader(i.settings.Header, strconv.FormatInt(time.Now().UnixMilli(), 10), i.settings.PreserveExisting)
	return b, nil, nil
}

func (i *interceptor) Close() error { return nil }
