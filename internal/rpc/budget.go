package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Budget bounds the bytes that calls hold together on many connections: what they are read through, their frames
// (old and new memory, where a frame grows), and the events cut from them. It is divided by water marks:
//
//	0 ─────────────── 1/4 ──── 5/16 ─────────────────────────────── all
//	│ every call       │ small  │ one call, which never waits        │
//
// Where there is no room, one call is let beyond the marks and has the last part for itself, so that frames that have
// each arrived in part never wait for one another for ever. So no call may hold more than that part. Calls of small
// frames have a part of their own, and do not queue behind large ones.
//
// While calls wait, clients that are slow to send a frame are cut off: see look.
type Budget struct {
	// Pressed is told again and again while calls wait for long, and by whom memory is held; nil: none waits any more.
	// It may be called from many goroutines.
	Pressed func(error)

	every, small, most int64 // the water marks, and the most for one call

	mu      sync.Mutex
	used    int64 // by all but beyond
	beyond  *Loan
	loans   map[*Loan]struct{} // those that hold something
	waiting []*request         // oldest first
	watch   *time.Timer        // nil while nobody waits
	pressed bool               // Pressed has been told
}

const (
	smallFrame = 64 << 10
	turnover   = 60              // while others wait, a client must send a 60th of what it holds each second
	patience   = 5 * time.Second // for one that does not
	hurry      = 2 * time.Second // for the one that is beyond the marks, since all others wait for it
	lookEvery  = time.Second / 2
)

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	every, small := bytes/4, bytes/4+bytes/16
	return &Budget{every: every, small: small, most: bytes - small, loans: map[*Loan]struct{}{}}
}

// Loan returns a loan for one call at a time whose sender may take its time.
func (b *Budget) Loan() *Loan { return &Loan{from: b} }

// Client returns a loan for the calls of one client, or for its stream. Expel ends the reading of what it sends.
func (b *Budget) Client(client net.Addr, expel func()) *Loan {
	return &Loan{from: b, client: client, expel: expel}
}

// Held is how many bytes all calls hold.
func (b *Budget) Held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.beyond != nil {
		return b.used + b.beyond.held
	}
	return b.used
}

// A Loan is what one call holds. It is used by one goroutine, and again for the next call.
type Loan struct {
	from   *Budget
	client net.Addr // nil: nobody asks
	expel  func()   // ends the reading of the frame; nil: it may take its time

	arrived atomic.Int64 // bytes that the client has sent

	// guarded by Budget.mu
	held    int64
	large   bool      // the frame is
	reading bool      // its frame, and not in wait for memory: whether it goes on is up to the client
	cut     bool      // expelled
	since   time.Time // the client has been too slow since then, or until now has not
	before  int64     // arrived at that time
}

type request struct {
	loan    *Loan
	bytes   int64
	since   time.Time
	reading bool // the frame is not complete
	granted chan struct{}
}

// ErrMemory is wrapped where a call would hold more than one may.
var ErrMemory = fmt.Errorf("%w for the memory that one call may hold", ErrTooLarge)

// ErrSlow is wrapped where a client was cut off so that others, which waited for the memory that it held, could go on.
var ErrSlow = errors.New("the client sends too slowly while others wait for the memory that its call holds")

// Grow takes more and waits until there is room. The loan that is beyond the marks never waits. It says whether it waited.
func (l *Loan) Grow(ctx context.Context, bytes int64) (waited bool, err error) {
	b := l.from
	b.mu.Lock()
	if l.held+bytes > b.most {
		b.mu.Unlock()
		return false, fmt.Errorf("%w: it needs %d bytes or more, %d are the most", ErrMemory, l.held+bytes, b.most)
	}
	if l.held == 0 {
		b.loans[l] = struct{}{}
		l.restart(time.Now())
	}
	behind := slices.ContainsFunc(b.waiting, func(r *request) bool { return r.loan.large == l.large })
	if (!behind || l == b.beyond) && b.grant(l, bytes) {
		b.mu.Unlock()
		return false, nil
	}
	r := &request{l, bytes, time.Now(), l.reading, make(chan struct{})}
	b.waiting = append(b.waiting, r)
	l.reading = false
	if b.watch == nil {
		b.watch = time.AfterFunc(lookEvery, b.look)
	}
	b.mu.Unlock()
	select {
	case <-r.granted:
		return true, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.waiting, r); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
		b.share() // those behind may be content with less
	}
	return true, context.Cause(ctx)
}

// Try takes more if there is room for everybody, and says whether it has.
func (l *Loan) Try(bytes int64) bool {
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 || l == b.beyond || b.used+bytes > b.every {
		return false
	}
	if l.held == 0 {
		b.loans[l] = struct{}{}
		l.restart(time.Now())
	}
	return b.grant(l, bytes)
}

// grant gives bytes to l if it may have them now.
func (b *Budget) grant(l *Loan, bytes int64) bool {
	mark := b.small
	if l.large {
		mark = b.every
	}
	switch {
	case l == b.beyond:
	case b.used+bytes <= mark:
		b.used += bytes
	case b.beyond == nil:
		b.beyond = l
		b.used -= l.held
	default:
		return false
	}
	l.held += bytes
	return true
}

// share gives to those that wait what there is, in order; small ones may pass large ones.
func (b *Budget) share() {
	var blocked [2]bool
	b.waiting = slices.DeleteFunc(b.waiting, func(r *request) bool {
		class := 0
		if r.loan.large {
			class = 1
		}
		if blocked[class] || !b.grant(r.loan, r.bytes) {
			blocked[class] = true
			return false
		}
		if r.reading {
			r.loan.restart(time.Now())
		}
		close(r.granted)
		return true
	})
}

// restart begins to judge how fast the client sends.
func (l *Loan) restart(now time.Time) { l.reading, l.since, l.before = true, now, l.arrived.Load() }

// Shrink gives bytes back.
func (l *Loan) Shrink(bytes int64) {
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	l.held -= bytes
	if l != b.beyond {
		b.used -= bytes
	}
	b.share()
}

// Sizes says that the frame will have so many bytes.
func (l *Loan) Sizes(frame int64) {
	if frame <= smallFrame {
		return
	}
	l.from.mu.Lock()
	l.large = true
	l.from.mu.Unlock()
}

// Arrived says that the client has sent so many bytes more.
func (l *Loan) Arrived(n int) { l.arrived.Add(int64(n)) }

// Resume says that the client has to go on sending.
func (l *Loan) Resume() {
	l.from.mu.Lock()
	defer l.from.mu.Unlock()
	l.restart(time.Now())
}

// Complete says that the frame is there, or all that the client has to send for now, unless it has been cut off before.
func (l *Loan) Complete() error {
	l.from.mu.Lock()
	defer l.from.mu.Unlock()
	l.reading = false
	if l.cut {
		return fmt.Errorf("%w: it held %d bytes", ErrSlow, l.held)
	}
	return nil
}

// End gives everything back.
func (l *Loan) End() {
	b := l.from
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.beyond == l {
		b.beyond = nil
	} else {
		b.used -= l.held
	}
	l.held, l.large, l.reading = 0, false, false
	delete(b.loans, l)
	b.share()
}

// look is called twice a second while calls wait. Of the clients that have been too slow for a while, it cuts off those
// that hold most, until what they hold would do for those that wait.
func (b *Budget) look() {
	b.mu.Lock()
	now := time.Now()
	if len(b.waiting) == 0 {
		b.watch.Stop()
		b.watch = nil
		over := b.pressed
		b.pressed = false
		b.mu.Unlock()
		if over && b.Pressed != nil {
			b.Pressed(nil)
		}
		return
	}
	b.watch.Reset(lookEvery)
	slow, first := b.judge(now)
	var wanted int64
	for _, r := range b.waiting {
		wanted += r.bytes
	}
	var cut int
	for _, l := range slow {
		if wanted <= 0 {
			break
		}
		wanted -= l.held
		if !l.cut {
			l.cut = true
			l.expel()
			cut++
		}
	}
	var trouble error
	if cut > 0 || now.Sub(b.waiting[0].since) >= patience {
		trouble = b.trouble(first, cut)
		b.pressed = true
	}
	b.mu.Unlock()
	if trouble != nil && b.Pressed != nil {
		b.Pressed(trouble)
	}
}

// judge returns the loans whose clients are too slow, the one that holds most first, and the one that holds most of all.
func (b *Budget) judge(now time.Time) (slow []*Loan, first *Loan) {
	for l := range b.loans {
		if first == nil || l.held > first.held {
			first = l
		}
		if !l.reading || l.expel == nil {
			continue
		}
		took, most := now.Sub(l.since), patience
		if l == b.beyond {
			most = hurry
		}
		arrived := l.arrived.Load()
		switch {
		case l.cut:
			slow = append(slow, l)
		case float64(arrived-l.before)*turnover >= float64(l.held)*took.Seconds():
			l.since, l.before = now, arrived
		case took >= most:
			slow = append(slow, l)
		}
	}
	slices.SortFunc(slow, func(x, y *Loan) int { return cmp.Compare(y.held, x.held) })
	return slow, first
}

// trouble says how many wait, and for whom.
func (b *Budget) trouble(first *Loan, cut int) error {
	var reading int
	for l := range b.loans {
		if l.reading {
			reading++
		}
	}
	return fmt.Errorf("%d calls wait for memory, the first for %s; of %d calls that hold some %d are still being sent; the one of %s holds most, %d bytes; %d slow clients are disconnected",
		len(b.waiting), time.Since(b.waiting[0].since).Round(time.Second), len(b.loans), reading, first.name(), first.held, cut)
}

func (l *Loan) name() string {
	if l.client == nil {
		return "an unknown client"
	}
	return l.client.String()
}
