package hdfs

import (
	"bytes"
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/position"
	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Kind is the HDFS sink.
var Kind = flume.Define[Settings, flume.Sink]("hdfs", "org.apache.flume.sink.hdfs.HDFSEventSink",
	"Writes events to files of HDFS, in directories by their headers and times.", open)

type sink struct {
	settings   *Settings
	log        *slog.Logger
	measure    measure
	extension  string // of final names, with its dot
	durability hdfs.Durability
	journal    *journal // nil: there is none
	ledger     *ledger  // nil: without hdfs.exactlyOnce
	noting     supervise.Trouble
	conf       *hdfs.Conf
	openFS     func(root string) (hdfs.FS, error)
	formats    formats

	live context.Context // ends when Close begins
	stop context.CancelFunc
	hard context.Context // ends when Close has waited long enough
	kill context.CancelFunc
	work sync.WaitGroup
	// hands bounds the endings that are tried at a time.
	hands chan struct{}
	// slots bounds the files that are open and those that are not closed yet.
	slots chan struct{}

	created, closed, failed *atomic.Int64 // files; of failed, calls too

	// Of Deliver.
	scratch []byte
	last    []byte
	sorted  flume.Batch
	placed  []position.Place // of sorted
	shares  []share
	of      []int32
	round   int

	mu      sync.Mutex
	systems map[string]hdfs.FS
	buckets map[string]*list.Element // of *bucket
	used    *list.List               // the one used last is at the end
	files   int                      // that are open
	resting []*bucket                // have no file
	orphans []entry
}

// A share is the events of a batch that go to one bucket.
type share struct {
	bucket  *bucket
	indexes []int32
	events  flume.Batch
	places  []position.Place // of the events; nil without a ledger
	settled int
	bad     []unfit
	err     error
}

const (
	mostBytes   = 16 << 20 // of one batch: it stands encoded in memory while it is written
	atOnce      = 256      // buckets that are written to at a time
	endingsMost = 64       // files that are closed and renamed at a time
	stopTime    = time.Minute
	patience    = 10 * time.Minute // with events that are safe and do not come again
)

func open(ctx context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	conf, dir, err := hdfs.FindConf(os.Getenv)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		env.Log.Info("Read the Hadoop configuration", "directory", dir)
	}
	login, closeLogin, err := s.login(ctx, conf)
	if err != nil {
		return nil, err
	}
	host := escape.LocalHost(ctx)
	s.dir.Resolve(host)
	s.base.Resolve(host)
	o := hdfs.Options{Conf: conf, ProxyUser: s.proxyUser, Login: login, CallTimeout: s.callTimeout, Log: env.Log}
	k, err := openOn(s, env, conf, vfs.OS{}, func(root string) (hdfs.FS, error) { return hdfs.Open(root, o) })
	if err != nil {
		closeLogin()
		return nil, err
	}
	return &withLogin{k, closeLogin}, nil
}

// withLogin is a sink that holds a login.
type withLogin struct {
	*sink
	logout func()
}

func (k *withLogin) Close() error {
	defer k.logout()
	return k.sink.Close()
}

func openOn(s *Settings, env flume.Env, conf *hdfs.Conf, disk vfs.FS, openFS func(root string) (hdfs.FS, error)) (*sink, error) {
	k := &sink{
		settings: s, log: env.Log, conf: conf, openFS: openFS, measure: s.measure(),
		hands: make(chan struct{}, endingsMost), slots: make(chan struct{}, s.maxOpenFiles+endingsMost),
		systems: map[string]hdfs.FS{}, buckets: map[string]*list.Element{}, used: list.New(),
		created: env.Counter("ConnectionCreatedCount"), closed: env.Counter("ConnectionClosedCount"), failed: env.Counter("ConnectionFailedCount"),
	}
	k.noting = supervise.Trouble{Log: k.log, Failing: "The list of open files cannot be written; those that a crash leaves are not found by the next start", Over: "The list of open files is written again"}
	var err error
	if k.formats, err = s.newFormats(conf); err != nil {
		return nil, err
	}
	k.extension = k.formats.extension()
	if s.suffix != "" {
		k.extension = s.suffix
	}
	if err := k.checkPath(); err != nil {
		return nil, err
	}
	k.journal, k.orphans, err = openJournal(disk, s.journalDir, env.Agent+"."+env.Name)
	if err != nil {
		k.journal = nil
		k.noting.Report(slog.LevelWarn, err, 0)
	}
	if s.hsync {
		k.durability = hdfs.Hsync
	}
	if s.once {
		if k.journal == nil {
			return nil, fmt.Errorf("opening hdfs.journalDir, without which hdfs.exactlyOnce cannot be kept: %w", err)
		}
		if k.journal.number > 1 {
			return nil, errors.Join(errors.New("opening the sink with hdfs.exactlyOnce: another process of this machine runs it already"), k.journal.close())
		}
		if k.ledger, err = k.newLedger(env); err != nil {
			return nil, errors.Join(err, k.journal.close())
		}
	}
	k.live, k.stop = context.WithCancel(context.Background())
	k.hard, k.kill = context.WithCancel(context.Background())
	k.work.Go(k.adopt)
	return k, nil
}

// checkPath refuses a path that can be no event's.
func (k *sink) checkPath() error {
	dir, ok := k.settings.dir.Constant()
	if !ok {
		return nil
	}
	_, err := locate(dir, "x", k.conf)
	if err != nil {
		return fmt.Errorf("opening hdfs.path: %w", err)
	}
	return nil
}

func (k *sink) Limits() flume.Limits { return flume.Limits{Bytes: mostBytes} }

// Deliver sorts the events by bucket and writes to all buckets at the same time. What one of them could not take is
// pending; the others are not concerned.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error {
	if k.ledger != nil {
		if err := k.ledger.wait(ctx, k.settings.callTimeout); err != nil {
			return err
		}
	}
	b, places := k.ledger.cut(b)
	rejected := k.sort(b, places)
	defer k.forget()
	if len(k.shares) == 1 {
		s := &k.shares[0]
		s.settled, s.bad, s.err = s.bucket.deliver(ctx, s.events, s.places)
	} else {
		k.deliverAll(ctx)
	}
	partial := flume.PartialError{Rejected: rejected}
	var failed int
	for i := range k.shares {
		s := &k.shares[i]
		for _, x := range s.bad {
			partial.Rejected = append(partial.Rejected, flume.Rejected{Index: int(s.indexes[x.at]), Err: x.err})
		}
		for _, at := range s.indexes[s.settled:] {
			partial.Pending = append(partial.Pending, int(at))
		}
		if s.err != nil {
			failed++
			partial.Err = cmp.Or(partial.Err, s.err)
		}
	}
	if len(partial.Rejected)+len(partial.Pending) == 0 {
		return nil
	}
	if failed > 1 {
		partial.Err = fmt.Errorf("%d of %d buckets: %w", failed, len(k.shares), partial.Err)
	}
	slices.Sort(partial.Pending)
	slices.SortFunc(partial.Rejected, func(a, b flume.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return &partial
}

func (k *sink) deliverAll(ctx context.Context) {
	var next atomic.Int64
	var wait sync.WaitGroup
	var bug atomic.Pointer[supervise.Bug]
	for range min(len(k.shares), max(atOnce, k.settings.threads)) {
		wait.Go(func() {
			var err error
			defer func() {
				if b := new(supervise.Bug); errors.As(err, &b) {
					bug.Store(b)
				}
			}()
			defer supervise.Recover("delivering to a bucket", &err)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(k.shares) {
					return
				}
				s := &k.shares[i]
				s.settled, s.bad, s.err = s.bucket.deliver(ctx, s.events, s.places)
			}
		})
	}
	wait.Wait()
	if b := bug.Load(); b != nil {
		panic(b)
	}
}

// sort makes the shares of a batch.
func (k *sink) sort(b flume.Batch, places []position.Place) (rejected []flume.Rejected) {
	k.sweep()
	k.round++
	now := time.Now()
	k.of = slices.Grow(k.of[:0], len(b))[:len(b)]
	k.last = k.last[:0]
	at := int32(-1) // the share of the event before
	for i := range b {
		var err error
		k.scratch, err = k.key(k.scratch[:0], b[i].Headers, now)
		if err == nil && (at < 0 || !bytes.Equal(k.scratch, k.last)) {
			at, err = k.shareOf()
			k.last = append(k.last[:0], k.scratch...)
		}
		if err != nil {
			rejected = append(rejected, flume.Rejected{Index: i, Err: err})
			k.of[i], at = -1, -1
			continue
		}
		k.of[i] = at
		k.shares[at].settled++ // for now: its events
	}
	if len(k.shares) == 1 && len(rejected) == 0 {
		s := &k.shares[0]
		s.events, s.places, s.settled = b, places, 0
		s.indexes = make([]int32, len(b))
		for i := range s.indexes {
			s.indexes[i] = int32(i)
		}
		return nil
	}
	k.sorted = slices.Grow(k.sorted[:0], len(b))[:len(b)]
	k.placed = slices.Grow(k.placed[:0], len(places))[:len(places)]
	indexes := make([]int32, len(b))
	from := 0
	for i := range k.shares {
		s := &k.shares[i]
		to := from + s.settled
		s.events, s.indexes, s.settled = k.sorted[from:from:to], indexes[from:from:to], 0
		if places != nil {
			s.places = k.placed[from:from:to]
		}
		from = to
	}
	for i := range b {
		if k.of[i] >= 0 {
			s := &k.shares[k.of[i]]
			s.events, s.indexes = append(s.events, b[i]), append(s.indexes, int32(i))
			if places != nil {
				s.places = append(s.places, places[i])
			}
		}
	}
	return rejected
}

// forget lets go of the batch.
func (k *sink) forget() {
	clear(k.shares)
	k.shares = k.shares[:0]
	clear(k.sorted[:cap(k.sorted)])
	clear(k.placed[:cap(k.placed)])
}

// shareOf is the share of the bucket whose key is in scratch.
func (k *sink) shareOf() (int32, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.buckets[string(k.scratch)]
	if !ok {
		dir, base := cutKey(k.scratch)
		p, err := locate(dir, base, k.conf)
		if err != nil {
			return 0, err
		}
		files, err := k.system(p.root)
		if err != nil {
			return 0, err
		}
		e = k.used.PushBack(&bucket{
			k: k, key: string(k.scratch), place: p, files: files, backoff: supervise.Backoff{Least: 500 * time.Millisecond, Most: 30 * time.Second},
		})
		e.Value.(*bucket).number.Store(time.Now().UnixMilli())
		k.buckets[string(k.scratch)] = e
	}
	b := e.Value.(*bucket)
	if b.round != k.round {
		k.used.MoveToBack(e)
		b.round, b.share = k.round, len(k.shares)
		k.shares = append(k.shares, share{bucket: b})
	}
	return int32(b.share), nil
}

func (k *sink) fileSystem(root string) (hdfs.FS, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.system(root)
}

// note writes a file that is to be begun into the journal and returns its id there; 0: it is not in it. Events do not wait
// for a local disk that is full.
func (k *sink) note(e entry) int64 {
	id, err := k.journal.begin(e)
	if k.noted(err); err != nil {
		return 0
	}
	return id
}

// noteName notes another final name.
func (k *sink) noteName(e entry, final string) {
	k.ledger.rename(e.once, final)
	k.noted(k.journal.rename(e.id, final))
}

// settled notes that a file is where it belongs, or gone.
func (k *sink) settled(e entry) {
	k.ledger.gone(e.once)
	k.noted(k.journal.done(e.id))
}

func (k *sink) noted(err error) {
	if err != nil {
		k.noting.Report(slog.LevelWarn, err, 0)
	} else if k.journal != nil {
		k.noting.End()
	}
}

// system is the file system with this root.
func (k *sink) system(root string) (hdfs.FS, error) {
	if f, ok := k.systems[root]; ok {
		return f, nil
	}
	f, err := k.openFS(root)
	if err != nil {
		return nil, err
	}
	k.systems[root] = f
	return f, nil
}

// rest notes a bucket without a file. It is called with the bucket's lock held.
func (k *sink) rest(b *bucket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !b.resting {
		b.resting = true
		k.resting = append(k.resting, b)
	}
}

// sweep forgets the buckets that have no file and nothing to remember.
func (k *sink) sweep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.resting[:0]
	for _, b := range k.resting {
		if !b.mu.TryLock() {
			kept = append(kept, b)
			continue
		}
		switch s := b.sick.Load(); {
		case b.file != nil:
			b.resting = false
		case s != nil && (s.until.IsZero() || time.Since(s.until) < time.Minute), len(b.unclaimed) > 0 && time.Since(b.claimable) < patience:
			kept = append(kept, b)
		default:
			if b.tried != nil {
				k.orphans = append(k.orphans, *b.tried)
			}
			k.used.Remove(k.buckets[b.key])
			delete(k.buckets, b.key)
		}
		b.mu.Unlock()
	}
	clear(k.resting[len(kept):])
	k.resting = kept
}

// makeRoom waits until one more file may be open. Where too many are, the one that was used longest ago is ended.
func (k *sink) makeRoom(ctx context.Context, own *bucket) error {
	k.mu.Lock()
	var oldest *bucket
	if k.files >= k.settings.maxOpenFiles {
		for e := k.used.Front(); e != nil; e = e.Next() {
			b := e.Value.(*bucket)
			if b == own || !b.mu.TryLock() {
				continue
			}
			if b.file != nil && b.file.out == nil {
				oldest = b
				break
			}
			b.mu.Unlock()
		}
	}
	k.files++
	k.mu.Unlock()
	if oldest != nil {
		oldest.end()
		oldest.mu.Unlock()
	}
	select {
	case k.slots <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(k.settings.callTimeout)
	defer timer.Stop()
	select {
	case k.slots <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	k.ended()
	return fmt.Errorf("no file can be begun: %d wait to be closed", endingsMost)
}

// ended counts a file that gets no more events.
func (k *sink) ended() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files--
}

// gone gives the room of a file back that is closed, or was never made.
func (k *sink) gone() { <-k.slots }

// Close ends all files, and waits for a minute until they are closed and renamed.
func (k *sink) Close() error {
	k.stop()
	patience := time.AfterFunc(stopTime, k.kill)
	defer patience.Stop()
	k.mu.Lock()
	var all []*bucket
	for e := k.used.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*bucket))
	}
	k.mu.Unlock()
	for _, b := range all {
		b.mu.Lock()
		b.end()
		if b.tried != nil && !b.doubt {
			k.settled(*b.tried)
		}
		b.mu.Unlock()
	}
	k.work.Wait()
	errs := []error{k.ledger.close(k.hard), k.journal.close()}
	k.kill()
	for _, f := range k.systems {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
