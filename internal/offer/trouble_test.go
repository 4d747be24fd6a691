package offer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The log blames the channels for nothing that is not theirs.
func TestTrouble(t *testing.T) {
	for _, x := range []struct {
		err         error
		said, again string
	}{
		{flume.ErrFull, "The channels do not take events", "The channels take events again"},
		{fmt.Errorf("putting into c1: %w", flume.ErrTooLarge), "a channel can never hold it", ""},
		{flume.ErrInterceptor, "An interceptor fails", "The interceptors take events again"},
		{errors.New("selecting channels"), "Events are not taken", "Events are taken again"},
	} {
		env := flumetest.NewEnv()
		p := NewTrouble(env.Log, "they are kept")
		p.Failed(x.err, 0)
		p.Failed(x.err, 0)
		p.Taken()
		log := env.Logged()
		if strings.Count(log, x.said) != 1 || !strings.Contains(log, x.again) || strings.Contains(log, "again") != (x.again != "") ||
			!errors.Is(x.err, flume.ErrFull) && strings.Contains(log, "channels do not take") {
			t.Errorf("%v: %s", x.err, log)
		}
	}
}
