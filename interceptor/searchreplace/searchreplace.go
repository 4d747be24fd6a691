// Package searchreplace is the interceptor that replaces, in the body, all that a Java pattern matches. A body in which
// nothing is found stays as it is, byte for byte; in the others what the charset cannot decode becomes U+FFFD. (In
// Flume it does so in all.)
package searchreplace

import (
	"context"
	"fmt"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/javaregex"
)

// Kind is the search and replace interceptor.
var Kind = flume.Define[Settings, flume.Interceptor]("search_replace", "org.apache.flume.interceptor.SearchAndReplaceInterceptor$Builder",
	"Replaces what a pattern matches in the body.", open)

// Settings are what a search and replace interceptor can be told.
type Settings struct {
	Search  *javaregex.Pattern
	Replace string
	Charset string

	replacement *javaregex.Replacement
	charset     charset.Charset
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	javaregex.Setting(d, &s.Search, "searchPattern", "", "The Java pattern; all that it matches is replaced.").Required()
	d.String(&s.Replace, "replaceString", "",
		`What stands there instead: $1 and ${name} are groups of the pattern, \$ and \\ the characters. Without it matches are removed.`)
	d.String(&s.Charset, "charset", "UTF-8", "The charset of the body: "+charset.Names+".").Bound(func() error {
		var ok bool
		if s.charset, ok = charset.Find(s.Charset); !ok {
			return fmt.Errorf("%q is none of the charsets %s", s.Charset, charset.Names)
		}
		return nil
	})
	d.Check(func() error {
		var err error
		if s.replacement, err = s.Search.Replacement(s.Replace); err != nil {
			return conf.At("replaceString", err)
		}
		return nil
	})
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

// maxBody is the most bytes that a body may grow to.
const maxBody = 64 << 20

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var rejected []flume.Rejection
	var bodies []byte // the new ones, behind each other
	m := i.settings.Search.Matcher()
	b = b.Keep(func(e *flume.Event) bool {
		m.Reset(i.settings.charset.Decode(e.Body))
		from := len(bodies)
		var found bool
		var err error
		bodies, found, err = m.ReplaceAll(bodies, i.settings.replacement, maxBody)
		if err != nil {
			rejected = append(rejected, flume.Rejection{Event: *e, Err: fmt.Errorf("replacing %q in the body: %w", i.settings.Search, err)})
			return false
		}
		if found {
			e.Body = i.settings.charset.Encode(bodies[from:len(bodies):len(bodies)])
		}
		return true
	})
	return b, rejected, nil
}

func (i *interceptor) Close() error { return nil }
