package hdfs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/supervise"
)

// ExactlyOnce asks for positions. The headers are those that make a path.
func (s *Settings) ExactlyOnce() (setting string, headers []string) {
	if !s.once {
		return "", nil
	}
	if s.dir != nil && s.base != nil {
		headers = append(s.dir.Headers(), s.base.Headers()...)
	}
	if s.timed() {
		headers = append(headers, escape.Timestamp)
	}
	return "hdfs.exactlyOnce", headers
}

// timed reports whether a path depends on the event's time.
func (s *Settings) timed() bool {
	timed := func(t *escape.Template, text string) bool {
		return t != nil && (t.Timed() || strings.Contains(text, "%t"))
	}
	return timed(s.dir, s.path) || timed(s.base, s.prefix)
}

func (s *Settings) checkOnce() (problems []error) {
	if s.local && s.timed() {
		problems = append(problems, conf.At("hdfs.useLocalTimeStamp", errors.New("the same event would have another path when it comes again, and hdfs.exactlyOnce is set; let a header timestamp of the event itself say the time")))
	}
	if s.inUsePrefix == "" && s.inUseSuffix == "" {
		problems = append(problems, conf.At("hdfs.exactlyOnce", errors.New("files need a name of their own while they are written to: set hdfs.inUseSuffix or hdfs.inUsePrefix")))
	}
	if _, _, err := s.ledgerDir(hdfs.NewConf()); err != nil && (errors.Is(err, errEscaped) || !strings.HasPrefix(cmp.Or(s.oncePath, s.path), "hdfs:")) { // the Hadoop configuration may name the NameNode
		problems = append(problems, conf.At("hdfs.exactlyOnce.path", err))
	}
	return problems
}

var errEscaped = errors.New("is needed, as hdfs.path begins with an escape")

// ledgerDir is where the ledger lies. The names of its directory begin with an underline, so that Hadoop's jobs leave it out.
func (s *Settings) ledgerDir(c *hdfs.Conf) (root, dir string, err error) {
	text := s.oncePath
	if text == "" {
		fixed, _, escaped := strings.Cut(s.path, "%")
		if escaped { // what stands in front of an escape may be the beginning of a name
			fixed = fixed[:strings.LastIndexByte(fixed, '/')+1]
		}
		_, rest, scheme := strings.Cut(fixed, "://")
		if fixed == "" || scheme && rest != "" && !strings.Contains(rest, "/") || fixed == "hdfs://" {
			return "", "", errEscaped
		}
		text = strings.TrimSuffix(fixed, "/") + "/_sluice"
	}
	if root, dir, err = hdfs.Split(text, c); err != nil {
		return "", "", err
	}
	return root, path.Clean(dir), schemes(root)
}

func (k *sink) newLedger(env flume.Env) (*ledger, error) {
	root, dir, err := k.settings.ledgerDir(k.conf)
	if err != nil {
		return nil, fmt.Errorf("opening hdfs.exactlyOnce.path: %w", err)
	}
	name := strings.NewReplacer("/", "_", ":", "_", "\x00", "_", "\n", "_").Replace(cmp.Or(k.settings.onceName, env.Agent+"."+env.Name))
	l := &ledger{
		chain:    chain{root: root, dir: dir, name: name, fs: k.fileSystem, durability: k.durability, log: k.log, token: rand.Text()},
		repeated: env.Counter("RepetitionCount"), ready: make(chan struct{}),
	}
	l.reset()
	return l, nil
}

// openLedger opens the ledger, however long that takes, and finds the files that the process before has left. The error:
// the sink is being closed.
func (k *sink) openLedger() error {
	trouble := supervise.Trouble{Log: k.log, Failing: "What is done cannot be read; nothing is written until it is", Over: "What is done is read"}
	backoff := supervise.Backoff{Least: 500 * time.Millisecond, Most: 30 * time.Second}
	for {
		left, err := k.ledger.start(k.live)
		if err == nil {
			trouble.End()
			k.join(left)
			return nil
		}
		if k.live.Err() != nil {
			return err
		}
		k.ledger.mu.Lock()
		k.ledger.opening = err
		k.ledger.mu.Unlock()
		wait := backoff.Next()
		trouble.Report(slog.LevelWarn, err, wait)
		if err := supervise.Sleep(k.live, wait); err != nil {
			return err
		}
	}
}

// join adds what the ledger has to the orphans of the journal. Those that both have stay one.
func (k *sink) join(left []entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := map[string]int64{} // in the journal
	for _, o := range k.orphans {
		ids[o.root+o.inUse] = o.id
	}
	known := map[string]bool{}
	for i := range left {
		file := left[i].root + left[i].inUse
		left[i].id, known[file] = ids[file], true
	}
	for _, o := range k.orphans {
		if !known[o.root+o.inUse] {
			left = append(left, o)
		}
	}
	k.orphans = left
}

// unsure reports whether the fate of some events is not known.
func (l *ledger) unsure() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubts != nil
}

// adoptOnce closes a file of which the ledger knows what belongs into it, and gives it its final name.
func (o *orphan) adoptOnce(ctx context.Context, l *ledger, renamed func(final string)) (string, error) {
	known := l.of(o.once)
	info, err := o.files.Recover(ctx, o.inUse)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o.missing(ctx, l, known)
	case err != nil:
		return "", err
	}
	bytes := known.end
	if bytes < 0 {
		bytes = known.within(info.Size)
		l.end(o.once, bytes)
	}
	if bytes == 0 {
		if err := l.safe(ctx); err != nil {
			return "", err
		}
		return "", o.files.Delete(ctx, o.inUse, false)
	}
	if info.Size < bytes {
		o.log.Error("A file that was left open is shorter than what HDFS had acknowledged", "file", o.inUse, "bytes", info.Size, "acknowledged", bytes)
	}
	if err := l.safe(ctx); err != nil {
		return "", err
	}
	if info.Size > bytes {
		if err := o.files.Truncate(ctx, o.inUse, bytes); err != nil {
			return "", err
		}
		o.log.Info("What was under way into a file was cut off it; it comes again", "file", o.inUse, "bytes", info.Size-bytes)
	}
	return o.rename(ctx, renamed)
}

// within is how many of so many bytes of a file are whole.
func (f kept) within(size int64) int64 {
	if f.next != nil && size >= f.next.to {
		return f.next.to
	}
	return f.safe
}

// missing settles a file that is not there under its name in use. Where the ledger has its end it was renamed, and perhaps
// moved on since; else somebody has renamed or removed it, or it was never made.
func (o *orphan) missing(ctx context.Context, l *ledger, known kept) (string, error) {
	if known.end >= 0 {
		if known.end == 0 {
			return "", nil
		}
		return o.final, nil
	}
	info, err := o.files.Stat(ctx, o.final)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if known.safe > 0 || known.next != nil && err == nil {
		o.log.Warn("A file that was left open is gone; somebody has renamed or removed it", "file", o.inUse, "renamed", err == nil)
	}
	bytes := known.safe
	if err == nil {
		bytes = known.within(info.Size)
	}
	l.end(o.once, bytes)
	if err := l.safe(ctx); err != nil || bytes == 0 {
		return "", err
	}
	return o.final, nil
}
