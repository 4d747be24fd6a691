// Package static is the interceptor that gives every event the same header. Flume's default is kept: an event that has
// the header already keeps its value, unless preserveExisting is false.
package static

import (
	"context"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the static interceptor.
var Kind = flume.Define[Settings, flume.Interceptor]("static", "org.apache.flume.interceptor.StaticInterceptor$Builder",
	"Gives every event a header with a fixed value.", open)

// Settings are what a static interceptor can be told.
type Settings struct {
	Key, Value       string
	PreserveExisting bool
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Key, "key", "key", "The name of the header.")
	d.String(&s.Value, "value", "value", "The value of the header.")
	d.Bool(&s.PreserveExisting, "preserveExisting", true, "Whether an event that has the header already keeps its value.")
}

// Trace says what becomes of the headers. Where the header may be there already and its value be kept, it is not known.
func (s *Settings) Trace(k flume.Known) flume.Known {
	if s.PreserveExisting {
		return k
	}
	traced := flume.Known{s.Key: s.Value}
	for key, value := range k {
		if key != s.Key {
			traced[key] = value
		}
	}
	return traced
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	b.SetHeader(i.settings.Key, i.settings.Value, i.settings.PreserveExisting)
	return b, nil, nil
}

func (i *interceptor) Close() error { return nil }
