// Package uuid is the interceptor that gives every event a header with a random UUID (version 4), in front of it a
// fixed text if one is set.
package uuid

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/stamp"
)

// Kind is the UUID interceptor. Flume has no alias for it.
var Kind = kind()

func kind() flume.Kind[flume.Interceptor] {
	k := flume.Define[Settings, flume.Interceptor]("uuid", "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder",
		"Gives every event a header with a random UUID.", open)
	k.Unlisted = true
	return k
}

// Settings are what a UUID interceptor can be told.
type Settings struct {
	Header           string
	PreserveExisting bool
	Prefix           string
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "headerName", "id", "The name of the header.")
	d.Bool(&s.PreserveExisting, "preserveExisting", true, "Whether an event that has the header already keeps its value.")
	d.String(&s.Prefix, "prefix", "", "A text in front of each UUID.")
}

// Trace says what becomes of the headers: the value is not known before.
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
	var pad stamp.Pad
	random := make([]byte, 16*len(b))
	rand.Read(random)
	value := make([]byte, 0, len(i.settings.Prefix)+36)
	for n := range b {
		if _, there := b[n].Headers.Get(i.settings.Header); there && i.settings.PreserveExisting {
			continue
		}
		value = appendUUID(append(value[:0], i.settings.Prefix...), random[16*n:])
		pad.Add(n, i.settings.Header, value)
	}
	pad.Apply(b)
	return b, nil, nil
}

// appendUUID appends the text of the UUID that 16 random bytes make.
func appendUUID(to, random []byte) []byte {
	random[6] = random[6]&0x0F | 0x40
	random[8] = random[8]&0x3F | 0x80
	for i, size := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			to = append(to, '-')
		}
		to = hex.AppendEncode(to, random[:size])
		random = random[size:]
	}
	return to
}

func (i *interceptor) Close() error { return nil }
