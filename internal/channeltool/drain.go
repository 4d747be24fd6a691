package channeltool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
	"github.com/sluice-io/sluice/internal/wal"
)

// How much one transaction of a drain has: each is synced twice, in the output and not at all in the channel, whose takes
// survive the process and are synced at the end.
const (
	drainEvents = 10_000
	drainBytes  = 8 << 20
)

// Drained is what has been taken out.
type Drained struct {
	Events   int64
	Left     int          // in the channel
	Aside    []wal.Damage // that could not be read; without bytes
	Recovery *wal.Recovery
}

// Drain takes events out of a channel, most of them or all where that is 0, until ctx ends. An event is removed when it
// is safe in the output: if the process or the machine dies in between, it is in both.
func Drain(ctx context.Context, o wal.Options, quarantine string, out *Output, most int64, progress Progress) (d Drained, err error) {
	defer func() { err = errors.Join(err, keepOwner(quarantine, dirs(&o)...)) }()
	o.SetAside = remember(wal.Quarantine(vfs.OS{}, quarantine), &d.Aside)
	l, rec, err := wal.Open(vfs.OS{}, o)
	if refused := (*wal.RefusedError)(nil); errors.As(err, &refused) && len(refused.Damaged) > 0 {
		return d, fmt.Errorf("%w; repair it first: sluice channel repair", err)
	}
	if err != nil {
		return d, err
	}
	d.Recovery = rec
	defer func() {
		d.Left = l.Events()
		err = errors.Join(err, l.Close(true))
	}()
	reported := time.Now()
	for ctx.Err() == nil && (most == 0 || d.Events < most) {
		n := int64(drainEvents)
		if most > 0 {
			n = min(n, most-d.Events)
		}
		t, err := l.Take(int(n), drainBytes)
		if err != nil {
			return d, fmt.Errorf("taking events: %w", err)
		}
		if t == nil {
			break
		}
		k := len(t.Batch())
		if err := out.Write(t.Batch()); err != nil {
			t.Return()
			return d, err
		}
		if err := t.Commit(context.Background()); err != nil {
			return d, fmt.Errorf("removing %s that are written already, and are in both now: %w", Count(int64(k), "event"), err)
		}
		d.Events += int64(k)
		if time.Since(reported) > often {
			reported = time.Now()
			progress(fmt.Sprintf("%s taken out, %s left", Count(d.Events, "event"), Number(int64(l.Events()))))
		}
	}
	return d, nil
}

// Export writes the events of a channel, at most that many where most is not 0, and removes none. Those that cannot be
// read are counted.
func Export(ctx context.Context, x *Findings, out *Output, most int64, progress Progress) (events, unreadable int64, err error) {
	var b flume.Batch
	size := 0
	reported := time.Now()
	enough := errors.New("enough")
	write := func() error {
		err := out.Write(b)
		events += int64(len(b))
		b, size = b[:0], 0
		return err
	}
	err = x.Report.Each(func(e flume.Event, err error) error {
		var bad *wal.DamagedError
		switch {
		case errors.As(err, &bad):
			unreadable++
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil || most > 0 && events+int64(len(b)) >= most:
			return enough
		}
		b = append(b, e)
		if size += len(e.Body); len(b) < drainEvents && size < drainBytes {
			return nil
		}
		if time.Since(reported) > often {
			reported = time.Now()
			progress(fmt.Sprintf("%s written", Count(events, "event")))
		}
		return write()
	})
	if err == nil || errors.Is(err, enough) {
		err = write()
	}
	return events, unreadable, err
}
