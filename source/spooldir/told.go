package spooldir

import (
	"log/slog"
	"time"

	"github.com/sluice-io/sluice/internal/supervise"
)

// troubles tell of each cause at each file by itself, so that none is silent for another.
type troubles struct {
	log *slog.Logger
	of  map[trouble]*told
}

// A trouble is a cause, and the path that it is at.
type trouble struct{ cause, path string }

type told struct {
	supervise.Trouble
	last time.Time
}

// The causes.
const (
	listing    = "listing"
	looking    = "looking"
	matching   = "matching"
	reading    = "reading"
	growing    = "growing"
	outgrowing = "outgrowing"
	retiring   = "retiring"
	marking    = "marking"
	unmarking  = "unmarking"
	tracking   = "tracking"
)

const (
	mostTroubles = 1000             // that are told apart; others are told of together by their causes
	forgotten    = 10 * time.Minute // how long after the last one
)

func (t *troubles) report(cause, path string, level slog.Level, err error, retry time.Duration) {
	k := trouble{cause, path}
	if t.of[k] == nil && len(t.of) >= mostTroubles {
		k.path = ""
	}
	if t.of[k] == nil {
		t.of[k] = &told{Trouble: supervise.Trouble{Log: t.log, Failing: "A file or directory is passed over"}}
	}
	t.of[k].last = time.Now()
	t.of[k].Report(level, err, retry)
}

// forget is called for each pass. What has not come again for a while is over.
func (t *troubles) forget() {
	for k, of := range t.of {
		if time.Since(of.last) > forgotten {
			delete(t.of, k)
		}
	}
}
