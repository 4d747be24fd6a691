package spooldir

import (
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flumetest"
)

// Each file that cannot be retired is told of, whatever else is.
func TestEachIsTold(t *testing.T) {
	s := newSite(t)
	env := flumetest.NewEnv()
	r := s.openedIn(env, "trackingPolicy = tracker_dir", "recursiveDirectorySearch = true")
	s.put(".flumespool/sub", "") // where the directory of marks should be
	var got []string
	const want = 12
	for i := range want {
		name := "sub/" + string(rune('a'+i))
		s.put(name, "1\n")
		r.offer.Emit = taken(&got)
		r.spool(t.Context(), s.candidate(r, name))
	}
	s.must(r.Close())
	if n := strings.Count(env.Logged(), "would be read again after a restart"); n != want {
		t.Errorf("%d of %d are told of: %s", n, want, env.Logged())
	}
}
