package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Orphans looks for files in use below hdfs.path that have the names of this sink's, whoever has left them: a process of
// this machine, one of another, Flume. Each is given with what becomes of it. With adopt, those that have not changed for
// as long as older are closed, cut off behind their last whole record and renamed, unless a process of this machine has
// them open. What is read says that a file was written to, not whether its writer is gone: who adopts has to know.
func (s *Settings) Orphans(ctx context.Context, log *slog.Logger, adopt bool, older time.Duration, each func(file string, bytes int64, modified time.Time, fate string)) error {
	if s.inUsePrefix == "" && s.inUseSuffix == "" {
		return errors.New("files have their final names from the start (hdfs.emptyInUseSuffix), so that nothing tells one in use")
	}
	conf, _, err := hdfs.FindConf(os.Getenv)
	if err != nil {
		return err
	}
	fixed, _, _ := strings.Cut(s.path, "%")
	if fixed == "" {
		return errors.New("hdfs.path begins with an escape, so that nobody knows where to look")
	}
	root, dir, err := hdfs.Split(fixed, conf)
	if err != nil {
		return err
	}
	if fixed != s.path { // what stands in front of an escape may be the beginning of a name
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
	}
	login, logout, err := s.login(ctx, conf)
	if err != nil {
		return err
	}
	defer logout()
	files, err := hdfs.Open(root, hdfs.Options{Conf: conf, ProxyUser: s.proxyUser, Login: login, CallTimeout: s.callTimeout, Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // nothing is open
	open, err := openHere(vfs.OS{}, s.journalDir)
	if err != nil {
		return err
	}
	x := search{Settings: s, files: files, root: root, open: open, log: log, each: each, before: time.Now().Add(-older), adopt: adopt}
	return x.in(ctx, path.Clean(dir))
}

// openHere are the files that processes of this machine have open, by file system and path.
func openHere(on vfs.FS, dir string) (map[string]bool, error) {
	open := map[string]bool{}
	entries, err := on.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return open, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading hdfs.journalDir: %w", err)
	}
	for _, e := range entries {
		own, ok := strings.CutSuffix(e.Name, ".open")
		if !ok {
			continue
		}
		lock, err := on.Lock(filepath.Join(dir, own+".lock"))
		if err == nil {
			if err := lock.Release(); err != nil {
				return nil, err
			}
			continue
		}
		if locked := new(vfs.LockedError); !errors.As(err, &locked) {
			return nil, err
		}
		j := &journal{fs: on, open: map[int64]entry{}}
		if err := j.read(filepath.Join(dir, e.Name)); err != nil {
			return nil, err
		}
		for _, e := range j.open {
			open[e.root+e.inUse] = true
		}
	}
	return open, nil
}

type search struct {
	*Settings
	files  hdfs.FS
	root   string
	open   map[string]bool
	log    *slog.Logger
	each   func(file string, bytes int64, modified time.Time, fate string)
	before time.Time
	adopt  bool
}

func (x *search) in(ctx context.Context, dir string) error {
	var errs []error
	for info, err := range x.files.List(ctx, dir) {
		name := path.Join(dir, info.Name)
		switch {
		case err != nil:
			return err
		case info.Dir:
			errs = append(errs, x.in(ctx, name))
		default:
			if final, ok := x.inUse(info.Name); ok {
				x.each(x.root+name, info.Size, info.Modified, x.fate(ctx, name, path.Join(dir, final), info))
			}
		}
	}
	return errors.Join(errs...)
}

// inUse returns the final name of a file in use of the sink's.
func (x *search) inUse(name string) (string, bool) {
	final, ok := strings.CutPrefix(name, x.inUsePrefix)
	if !ok {
		return "", false
	}
	if final, ok = strings.CutSuffix(final, x.inUseSuffix); !ok {
		return "", false
	}
	base, _, _ := strings.Cut(x.prefix[strings.LastIndexByte(x.prefix, '/')+1:], "%")
	extension := x.suffix
	if extension == "" {
		extension = x.compression.Extension()
	}
	return final, strings.HasPrefix(final, base) && strings.HasSuffix(final, extension)
}

func (x *search) fate(ctx context.Context, name, final string, info hdfs.Info) string {
	switch {
	case x.open[x.root+name]:
		return "an agent of this machine has it open"
	case info.Modified.After(x.before):
		return "it may still be written to"
	case x.once:
		return "left open; the next start of the agent sees to it, as hdfs.exactlyOnce needs"
	case !x.adopt:
		return "left open"
	}
	o := orphan{entry: entry{root: x.root, inUse: name, final: final, measure: x.measure()}, files: x.files, log: x.log}
	final, err := o.adopt(ctx, func(string) {})
	switch {
	case err != nil:
		return "it cannot be closed: " + err.Error()
	case final == "":
		return "removed: there is no whole record in it"
	}
	return "closed: " + x.root + final
}
