package spillable

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/vfs"
)

// The end in order keeps memory's events; behind younger ones where those are on disk already.
func TestClose(t *testing.T) {
	for name, x := range map[string]struct {
		disk, younger int
		behind        bool
	}{
		"nothing on disk":     {100, 0, false},
		"events on disk":      {100, 5, true},
		"no overflow":         {0, 0, false},
		"memory alone had it": {100, -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			env := flumetest.NewEnv()
			on, settings := vfs.NewMemory(), []string{"memoryCapacity = 20", fmt.Sprintf("overflowCapacity = %d", x.disk), "transactionCapacity = 7", "overflowTimeout = 0"}
			c := flumetest.OpenIn(t, env, kindOn(on), with(settings...)...)
			putting(t, c, flumetest.Events(0, 20))
			if x.younger > 0 {
				putting(t, c, flumetest.Events(20, x.younger))
			}
			inHand := taking(t, c, 3)
			if x.younger < 0 {
				inHand.Rollback()
			}
			closing(t, c)
			if _, ok := c.(flume.Volatile); ok {
				t.Error("it says that it is volatile")
			}
			if said := strings.Contains(env.Logged(), "behind younger ones"); said != x.behind {
				t.Errorf("the log says: %s", env.Logged())
			}
			inHand.Rollback() // too late
			c = opened(t, on, settings...)
			defer closing(t, c)
			want(t, drained(t, c), flumetest.Events(20, max(0, x.younger)), flumetest.Events(0, 20))
		})
	}
}

// At the end memory's events go to disk beyond all bounds but the disk's.
func TestCloseWithoutRoom(t *testing.T) {
	on, settings := vfs.NewMemory(), []string{"memoryCapacity = 20", "overflowCapacity = 20", "transactionCapacity = 20", "overflowTimeout = 0"}
	c := opened(t, on, settings...)
	putting(t, c, flumetest.Events(0, 20))
	putting(t, c, flumetest.Events(20, 13))
	closing(t, c)
	on.Limit(100 << 20)
	settings = append(settings, "minimumRequiredSpace = 104857600")
	c = opened(t, on, settings...)
	if _, err := c.Put(context.Background(), flumetest.Events(0, 1)); !errors.Is(err, flume.ErrFull) {
		t.Errorf("a put beyond returned %v", err)
	}
	want(t, taking(t, c, 13).Batch(), flumetest.Events(20, 13)) // not given back
	want(t, drained(t, c), flumetest.Events(0, 20))
	putting(t, c, flumetest.Events(33, 20))
	closing(t, c)
	c = opened(t, on, settings...)
	defer closing(t, c)
	want(t, drained(t, c), flumetest.Events(20, 13), flumetest.Events(33, 20))
}

// What a broken disk does not take is lost, and told.
func TestCloseWithABrokenDisk(t *testing.T) {
	c, _ := joined(t, 20, 100, 0, 5)
	putting(t, c, flumetest.Events(0, 12))
	taking(t, c, 3)
	c.file.(*vanishing).fails = errors.New("a broken disk")
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "writing the events in memory to disk: 12 are lost: a broken disk") {
		t.Errorf("closing returned %v", err)
	}
}

// An event too large for a data file does not keep the others of memory from being saved.
func TestCloseWithALargeEvent(t *testing.T) {
	on, settings := vfs.NewMemory(), []string{"memoryCapacity = 20", "transactionCapacity = 20", "overflowTimeout = 0", "maxFileSize = 2000"}
	c := opened(t, on, settings...)
	putting(t, c, flumetest.Events(0, 9))
	putting(t, c, flume.Batch{{Body: make([]byte, 3000)}})
	putting(t, c, flumetest.Events(9, 9))
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "1 are lost: ") || !strings.Contains(err.Error(), "maxFileSize") {
		t.Errorf("closing returned %v", err)
	}
	c = opened(t, on, settings...)
	defer closing(t, c)
	want(t, drained(t, c), flumetest.Events(0, 18))
}
