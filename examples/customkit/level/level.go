// Package level is an interceptor that puts the first word of a body into a header, and drops the levels that one does
// not want. It stands for the class com.acme.LevelInterceptor$Builder of an imaginary user.
package level

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind has the name that files may have and, so that old files work, the class name.
var Kind = flume.Define[Settings, flume.Interceptor]("level", "com.acme.LevelInterceptor$Builder",
	"Puts the first word of a body into a header.", open)

// Settings are what the interceptor can be told.
type Settings struct {
	Header string
	Drop   []string
}

// Declare says each setting once: its key, its default, what it means. Checks, manual and did-you-mean follow from it.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "header", "level", "The header that gets the level.")
	d.Strings(&s.Drop, "drop", "", "Levels whose events are dropped, separated by blanks.")
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

var errNoLevel = errors.New("the body does not begin with a level")

// Intercept owns the batch until it returns. What can never pass is a rejection, which becomes a dead letter; an error
// would fail the whole batch and have it sent again.
func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var rejected []flume.Rejection
	b = b.Keep(func(e *flume.Event) bool {
		word, _, ok := bytes.Cut(e.Body, []byte(" "))
		if !ok {
			rejected = append(rejected, flume.Rejection{Event: *e, Err: errNoLevel})
			return false
		}
		if slices.Contains(i.settings.Drop, string(word)) {
			return false
		}
		e.Headers.Set(i.settings.Header, string(word))
		return true
	})
	return b, rejected, nil
}

func (i *interceptor) Close() error { return nil }
