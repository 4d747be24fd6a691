package flumetest

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

// A GoldenEvent is an event as the manifests of golden files have it: headers, and a body as text, in base 64, or as a
// pattern that fills a length.
type GoldenEvent struct {
	Headers  map[string]string
	BodyText *string `json:"body_text"`
	BodyB64  []byte  `json:"body_b64"`
	BodyFill *struct {
		Pattern []byte `json:"pattern_b64"`
		Length  int
	} `json:"body_fill"`
}

// Event makes the event; its headers are sorted.
func (g *GoldenEvent) Event() flume.Event {
	var e flume.Event
	for _, k := range slices.Sorted(maps.Keys(g.Headers)) {
		e.Headers = append(e.Headers, flume.Header{Key: k, Value: g.Headers[k]})
	}
	switch {
	case g.BodyText != nil:
		e.Body = []byte(*g.BodyText)
	case g.BodyFill != nil:
		e.Body = bytes.Repeat(g.BodyFill.Pattern, g.BodyFill.Length/len(g.BodyFill.Pattern)+1)[:g.BodyFill.Length]
	default:
		e.Body = g.BodyB64
	}
	return e
}

// SameAsGolden compares events with those of a manifest, whatever the order of their headers.
func SameAsGolden(t testing.TB, got flume.Batch, want []GoldenEvent) {
	t.Helper()
	events := make(flume.Batch, len(want))
	for i := range want {
		events[i] = want[i].Event()
	}
	got = got.Clone()
	for i := range got {
		slices.SortFunc(got[i].Headers, func(a, b flume.Header) int { return strings.Compare(a.Key, b.Key) })
	}
	if err := same(got, events); err != nil {
		t.Error(err)
	}
}
