package spooldir

import (
	"context"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// A rejection says where its event is, not where the batch ends.
func TestPositionOfARejection(t *testing.T) {
	for _, x := range []struct {
		settings []string
		text     string
		rejected string
		want     string
	}{
		{nil, "one\nlarge\nthree\n", "large", "@4"},
		{[]string{"deserializer = BLOB", "deserializer.maxBlobLength = 5"}, "12345large67890", "large", "@5"},
		{nil, "", "", "@0"},
	} {
		s := newSite(t)
		s.put("a", x.text)
		env := flumetest.NewEnv()
		r := s.openedIn(env, x.settings...)
		r.offer.Emit = func(_ context.Context, b flume.Batch) error {
			for _, e := range b {
				if string(e.Body) == x.rejected {
					return flume.ErrTooLarge
				}
			}
			return nil
		}
		r.spool(t.Context(), s.candidate(r, "a"))
		s.must(r.Close())
		if all := env.Rejected(); len(all) != 1 || all[0].Position != s.path("a")+x.want {
			t.Errorf("rejected are %v", all)
		}
	}
}
