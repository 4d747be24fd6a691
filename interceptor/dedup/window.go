package dedup

import (
	"context"
	"sync"
	"time"
)

// A key is what is kept of what an event is known by.
type key [16]byte

// keyBytes is what a key takes at most: in the queue, of which half can be gone already, and in the map.
const keyBytes = 112

// A verdict is what is known of an event.
type verdict byte

const (
	fresh    verdict = iota // it has a key, and has not come before
	unknown                 // it has no key
	repeated                // it has come before
	refused                 // it leaves the batch another way
)

// A window is the keys of the last while. The one lock is taken twice for each batch.
type window struct {
	age  time.Duration
	most int

	mu    sync.Mutex
	began time.Time
	seen  map[key]struct{}
	under map[key]*flight // keys of batches on their way
	queue []arrival       // seen, by age; those before first are gone
	first int
}

type arrival struct {
	key key
	at  time.Duration // since the window began
}

// A flight is a batch on its way.
type flight struct {
	keys   []key
	landed chan struct{} // closed when its fate is known
}

func newWindow(age time.Duration, most int) *window {
	return &window{age: age, most: most, began: time.Now(), seen: map[key]struct{}{}, under: map[key]*flight{}}
}

// hold says which events have come before, and holds the keys of the others until settle. It waits while another batch
// holds one of them.
func (w *window) hold(ctx context.Context, keys []key, verdicts []verdict) (*flight, error) {
	f := &flight{landed: make(chan struct{})}
	w.mu.Lock()
	for {
		other := w.other(keys, verdicts)
		if other == nil {
			break
		}
		w.mu.Unlock()
		select {
		case <-other.landed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		w.mu.Lock()
	}
	defer w.mu.Unlock()
	w.expire()
	for i, k := range keys {
		if verdicts[i] != fresh {
			continue
		}
		_, before := w.seen[k]
		if before || w.under[k] == f {
			verdicts[i] = repeated
			continue
		}
		w.under[k] = f
		f.keys = append(f.keys, k)
	}
	return f, nil
}

// other is a batch on its way that holds one of the keys.
func (w *window) other(keys []key, verdicts []verdict) *flight {
	if len(w.under) == 0 {
		return nil
	}
	for i, k := range keys {
		if f := w.under[k]; f != nil && verdicts[i] == fresh {
			return f
		}
	}
	return nil
}

// settle gives the keys of a batch back; those of one that has arrived are seen from now on. It returns how many others
// were forgotten for want of room.
func (w *window) settle(f *flight, arrived bool) (forgotten int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer close(f.landed)
	now := time.Since(w.began)
	for _, k := range f.keys {
		delete(w.under, k)
		if arrived {
			w.seen[k] = struct{}{}
			w.queue = append(w.queue, arrival{k, now})
		}
	}
	w.expire()
	for len(w.seen) > w.most {
		w.forget()
		forgotten++
	}
	return forgotten
}

// expire forgets what is too old.
func (w *window) expire() {
	now := time.Since(w.began)
	for w.first < len(w.queue) && now-w.queue[w.first].at >= w.age {
		w.forget()
	}
}

// forget drops the oldest key. The queue moves to its beginning when half of it is gone.
func (w *window) forget() {
	delete(w.seen, w.queue[w.first].key)
	w.first++
	if w.first > len(w.queue)/2 {
		w.queue = w.queue[:copy(w.queue, w.queue[w.first:])]
		w.first = 0
	}
}
