// Package removeheader is the interceptor that takes headers away: one by its name, those of a list, and those whose
// whole name a Java pattern matches. The body stays as it is. An event of which the pattern cannot decide about a
// header within its bounds is rejected.
package removeheader

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/javaregex"
)

// Kind is the remove header interceptor.
var Kind = flume.Define[Settings, flume.Interceptor]("remove_header", "org.apache.flume.interceptor.RemoveHeaderInterceptor$Builder",
	"Removes headers by name, list or pattern.", open)

// Settings are what a remove header interceptor can be told.
type Settings struct {
	Name      string
	List      string
	Separator *javaregex.Pattern
	Matching  *javaregex.Pattern

	names []string
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Name, "withName", "", "The name of a header to remove.")
	d.String(&s.List, "fromList", "", "Names of headers to remove, between them what fromListSeparator says.")
	javaregex.Setting(d, &s.Separator, "fromListSeparator", `\s*,\s*`, "The Java pattern that separates the names of fromList.")
	javaregex.Setting(d, &s.Matching, "matching", "", "The Java pattern of names: headers whose whole name it matches are removed.")
	d.Check(func() (err error) {
		s.names = nil
		if s.List != "" {
			if s.names, err = s.Separator.Split(s.List); err != nil {
				return conf.At("fromList", fmt.Errorf("separating the names: %w", err))
			}
		}
		if s.Name != "" {
			s.names = append(s.names, s.Name)
		}
		if len(s.names) == 0 && s.Matching == nil {
			return conf.Warn("", fmt.Errorf("removes nothing; set withName, fromList or matching"))
		}
		return nil
	})
}

// Trace says what becomes of the headers.
func (s *Settings) Trace(k flume.Known) flume.Known {
	k = maps.Clone(k)
	r := remover{settings: s}
	maps.DeleteFunc(k, func(name, _ string) bool {
		removed, err := r.removes(name)
		return removed || err != nil
	})
	return k
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var rejected []flume.Rejection
	r := remover{settings: &i.settings}
	b = b.Keep(func(e *flume.Event) bool {
		kept := 0
		for n := range e.Headers {
			removed, err := r.removes(e.Headers[n].Key)
			if err != nil {
				rejected = append(rejected, flume.Rejection{Event: *e, Err: fmt.Errorf("matching the name of a header by %q: %w", i.settings.Matching, err)})
				return false
			}
			if !removed {
				kept++
			}
		}
		if kept < len(e.Headers) {
			e.Headers = slices.DeleteFunc(e.Headers, func(h flume.Header) bool {
				removed, _ := r.removes(h.Key)
				return removed
			})
		}
		return true
	})
	return b, rejected, nil
}

// A remover knows of the names that a batch has had whether they go: events mostly have the same.
type remover struct {
	settings *Settings
	matcher  *javaregex.Matcher
	seen     []verdict
}

type verdict struct {
	name    string
	removed bool
}

// most is the number of names up to which looking through them costs less than matching.
const most = 32

func (r *remover) removes(name string) (bool, error) {
	for i := range r.seen {
		if r.seen[i].name == name {
			return r.seen[i].removed, nil
		}
	}
	removed := slices.Contains(r.settings.names, name)
	if !removed && r.settings.Matching != nil {
		if r.matcher == nil {
			r.matcher = r.settings.Matching.Matcher()
		}
		r.matcher.Reset([]byte(name))
		var err error
		if removed, err = r.matcher.Matches(); err != nil {
			return false, err
		}
	}
	if len(r.seen) < most {
		r.seen = append(r.seen, verdict{name, removed})
	}
	return removed, nil
}

func (i *interceptor) Close() error { return nil }
