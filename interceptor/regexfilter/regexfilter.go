// Package regexfilter is the interceptor that keeps, or drops, the events whose body a Java pattern finds something in.
// The body is taken as UTF-8. (Flume takes the charset of its machine.) An event on which the pattern cannot decide
// within its bounds is rejected.
package regexfilter

import (
	"context"
	"fmt"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/javaregex"
)

// Kind is the regex filter.
var Kind = flume.Define[Settings, flume.Interceptor]("regex_filter", "org.apache.flume.interceptor.RegexFilteringInterceptor$Builder",
	"Keeps or drops events by a pattern that is looked for in the body.", open)

// Settings are what a regex filter can be told.
type Settings struct {
	Regex   *javaregex.Pattern
	Exclude bool
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	javaregex.Setting(d, &s.Regex, "regex", ".*", "The Java pattern that is looked for in the body, read as UTF-8. It need not match the whole body.")
	d.Bool(&s.Exclude, "excludeEvents", false, "Whether the events in which the pattern is found are dropped; the others are otherwise.")
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var rejected []flume.Rejection
	m := i.settings.Regex.Matcher()
	b = b.Keep(func(e *flume.Event) bool {
		m.Reset(e.Body)
		found, err := m.Contains()
		if err != nil {
			rejected = append(rejected, flume.Rejection{Event: *e, Err: fmt.Errorf("looking for %q in the body: %w", i.settings.Regex, err)})
			return false
		}
		return found != i.settings.Exclude
	})
	return b, rejected, nil
}

func (i *interceptor) Close() error { return nil }
