// Package regexextractor is the interceptor that makes headers of what the groups of a Java pattern match in the body.
//
//	regex = ^(\d{4}-\d\d-\d\d \d\d:\d\d) (\w+)
//	serializers = s1 s2
//	serializers.s1.name = timestamp                     the header that gets what group 1 has matched …
//	serializers.s1.type = …MillisSerializer             … as milliseconds since 1970
//	serializers.s1.pattern = yyyy-MM-dd HH:mm           by this pattern of Joda-Time, in the zone of the machine
//	serializers.s2.name = level                         group 2 as it stands
//
// The first match in the body counts, which is read as UTF-8. The first group goes to the first serializer, and so on;
// a group more than there are serializers is ignored, and so is a serializer more than there are groups. An event
// without a match stays as it is. A group that has matched nothing makes no header. (Flume stores a null, on which
// channels and sinks fail.) An event with a text that is no time by its pattern is rejected. (Flume fails the whole
// batch, each time again.)
package regexextractor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/javaregex"
	"github.com/sluice-io/sluice/internal/javatime"
	"github.com/sluice-io/sluice/internal/stamp"
)

// Kind is the regex extractor.
var Kind = flume.Define[Settings, flume.Interceptor]("regex_extractor", "org.apache.flume.interceptor.RegexExtractorInterceptor$Builder",
	"Makes headers of what the groups of a pattern match in the body.", open)

// Settings are what a regex extractor can be told.
type Settings struct {
	Regex       *javaregex.Pattern
	Serializers []string
	Given       conf.Values // of the serializers: s1.name

	serializers []serializer
}

// A serializer makes a header of one group.
type serializer struct {
	header string
	layout *javatime.Layout // nil: the text itself
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	javaregex.Setting(d, &s.Regex, "regex", "", "The Java pattern whose first match in the body counts, read as UTF-8.").Required()
	d.Strings(&s.Serializers, "serializers", "", "Names for the groups of the pattern, in their order, separated by blanks.").Required()
	d.Rest(&s.Given, "serializers.",
		"NAME.name: the header that gets what the group has matched. NAME.type: DEFAULT for the text itself, or MILLIS for milliseconds since 1970 by NAME.pattern, a date pattern of Joda-Time; Flume's class names are taken too.")
	d.Check(s.check)
}

const class = "org.apache.flume.interceptor.RegexExtractorInterceptor"

// check makes the serializers.
func (s *Settings) check() error {
	var problems []error
	s.serializers = nil
	for n, name := range s.Serializers {
		of := func(key string) string {
			v, _ := s.Given.Get(name + "." + key)
			return v.Text
		}
		wrong := func(key, format string, args ...any) {
			problems = append(problems, conf.At("serializers."+name+"."+key, fmt.Errorf(format, args...)))
		}
		made := serializer{header: of("name")}
		if made.header == "" {
			wrong("name", "is required and not set: the header that gets what the group has matched")
		}
		switch typ := of("type"); {
		case typ == "", strings.EqualFold(typ, "DEFAULT"), typ == class+"PassThroughSerializer":
			if of("pattern") != "" {
				problems = append(problems, conf.Warn("serializers."+name+".pattern", errors.New("has no effect without type = MILLIS")))
			}
		case strings.EqualFold(typ, "MILLIS"), typ == class+"MillisSerializer":
			var err error
			if of("pattern") == "" {
				wrong("pattern", "is required and not set: the date pattern of Joda-Time, such as yyyy-MM-dd HH:mm:ss")
			} else if made.layout, err = javatime.Joda(of("pattern"), time.Local, time.Now()); err != nil {
				wrong("pattern", "%w", err)
			}
		default:
			wrong("type", "%q is no serializer of Sluice, which has DEFAULT and MILLIS; keep this hop in Flume, with an avro sink that sends to an avro source here", typ)
		}
		if n >= s.Regex.Groups() {
			problems = append(problems, conf.Warn("serializers", fmt.Errorf("%s gets nothing: the pattern has %d groups", name, s.Regex.Groups())))
		}
		s.serializers = append(s.serializers, made)
	}
	for _, v := range s.Given {
		i := strings.LastIndexByte(v.Key, '.')
		if i < 0 {
			i = len(v.Key)
		}
		name, key := v.Key[:i], strings.TrimPrefix(v.Key[i:], ".")
		switch keys := []string{"name", "type", "pattern"}; {
		case !slices.Contains(s.Serializers, name):
			problems = append(problems, conf.Warn("serializers."+v.Key, fmt.Errorf("has no effect: serializers does not name %q", name)))
		case !slices.Contains(keys, key):
			text := "is not a setting of a serializer; there are name, type and pattern"
			if near := conf.Nearest(key, keys); near != "" {
				text = fmt.Sprintf("is not a setting of a serializer; did you mean %q?", near)
			}
			problems = append(problems, conf.Warn("serializers."+v.Key, errors.New(text)))
		}
	}
	return errors.Join(problems...)
}

// Trace says what becomes of the headers: the values are not known before.
func (s *Settings) Trace(k flume.Known) flume.Known {
	k = maps.Clone(k)
	for _, made := range s.serializers {
		delete(k, made.header)
	}
	return k
}

type interceptor struct{ settings Settings }

func open(_ context.Context, s *Settings, _ flume.Env) (flume.Interceptor, error) {
	return &interceptor{*s}, nil
}

func (i *interceptor) Intercept(_ context.Context, b flume.Batch) (flume.Batch, []flume.Rejection, error) {
	var rejected []flume.Rejection
	var poison []int // events, ascending
	var pad stamp.Pad
	m := i.settings.Regex.Matcher()
	for n := range b {
		m.Reset(b[n].Body)
		if err := i.extract(m, &pad, n); err != nil {
			pad.Forget(n)
			rejected = append(rejected, flume.Rejection{Event: b[n], Err: err})
			poison = append(poison, n)
		}
	}
	pad.Apply(b)
	if len(poison) > 0 {
		n := -1
		b = b.Keep(func(*flume.Event) bool {
			n++
			bad := len(poison) > 0 && poison[0] == n
			if bad {
				poison = poison[1:]
			}
			return !bad
		})
	}
	return b, rejected, nil
}

// extract notes the headers that event n is to get.
func (i *interceptor) extract(m *javaregex.Matcher, pad *stamp.Pad, n int) error {
	found, err := m.Find()
	if err != nil {
		return fmt.Errorf("looking for %q in the body: %w", i.settings.Regex, err)
	}
	if !found {
		return nil
	}
	var digits [20]byte
	for k, s := range i.settings.serializers {
		group, ok := m.Group(k + 1)
		if !ok {
			continue
		}
		if s.layout != nil {
			millis, err := s.layout.Millis(group)
			if err != nil {
				return fmt.Errorf("making the header %s of the body: %w", s.header, err)
			}
			group = strconv.AppendInt(digits[:0], millis, 10)
		}
		pad.Add(n, s.header, group)
	}
	return nil
}

func (i *interceptor) Close() error { return nil }
