package hdfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/hdfs"
	"github.com/sluice-io/sluice/internal/vfs"
)

// A cluster is a file system in memory. What was written and not flushed may be lost; faults are asked for by name.
type cluster struct {
	mu    sync.Mutex
	files map[string]*node
	calls []string

	// fault is asked before each call: "create /a/b". Its error is the call's.
	fault func(call string) error
	// slow is how long a call takes.
	slow func(call string) time.Duration
}

type node struct {
	data     []byte // what readers see
	pending  []byte // written and not flushed
	writer   *handle
	replicas int
}

type handle struct {
	c    *cluster
	name string
	n    *node
	size int64
	dead error
}

func newCluster() *cluster { return &cluster{files: map[string]*node{}} }

// call takes the lock; the caller gives it back if there is no error.
func (c *cluster) call(ctx context.Context, format string, args ...any) error {
	call := fmt.Sprintf(format, args...)
	c.mu.Lock()
	fault, slow := c.fault, c.slow
	c.calls = append(c.calls, call)
	c.mu.Unlock()
	if slow != nil {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if wait := slow(call); wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", call, ctx.Err())
			}
		}
	}
	if fault != nil {
		if err := fault(call); err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
	}
	c.mu.Lock()
	return nil
}

func (c *cluster) Create(ctx context.Context, name string, o hdfs.CreateOptions) (hdfs.File, error) {
	if err := c.call(ctx, "create %s", name); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	if _, ok := c.files[name]; ok && o.New {
		return nil, fs.ErrExist
	}
	n := &node{replicas: 3}
	n.writer = &handle{c: c, name: name, n: n}
	c.files[name] = n
	return n.writer, nil
}

func (c *cluster) Append(context.Context, string) (hdfs.File, error) {
	return nil, errors.ErrUnsupported
}

func (c *cluster) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := c.call(ctx, "open %s", name); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	n, ok := c.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(slices.Clone(n.data[offset:]))), nil
}

func (c *cluster) Rename(ctx context.Context, from, to string) error {
	if err := c.call(ctx, "rename %s", from); err != nil {
		return err
	}
	defer c.mu.Unlock()
	n, ok := c.files[from]
	switch _, taken := c.files[to]; {
	case !ok:
		return fs.ErrNotExist
	case taken:
		return fs.ErrExist
	case n.writer != nil:
		return errors.New("BUG: a file is renamed that is not closed")
	}
	delete(c.files, from)
	c.files[to] = n
	return nil
}

func (c *cluster) Delete(ctx context.Context, name string, _ bool) error {
	if err := c.call(ctx, "delete %s", name); err != nil {
		return err
	}
	defer c.mu.Unlock()
	delete(c.files, name)
	return nil
}

func (c *cluster) Mkdirs(context.Context, string) error { return nil }

func (c *cluster) Stat(ctx context.Context, name string) (hdfs.Info, error) {
	if err := c.call(ctx, "stat %s", name); err != nil {
		return hdfs.Info{}, err
	}
	defer c.mu.Unlock()
	return c.info(name)
}

func (c *cluster) info(name string) (hdfs.Info, error) {
	n, ok := c.files[name]
	if !ok {
		return hdfs.Info{}, fs.ErrNotExist
	}
	return hdfs.Info{Name: path.Base(name), Size: int64(len(n.data))}, nil
}

func (c *cluster) List(ctx context.Context, dir string) iter.Seq2[hdfs.Info, error] {
	return func(yield func(hdfs.Info, error) bool) {
		if err := c.call(ctx, "list %s", dir); err != nil {
			yield(hdfs.Info{}, err)
			return
		}
		var all []hdfs.Info
		for name := range c.files {
			if path.Dir(name) == dir {
				info, _ := c.info(name)
				all = append(all, info)
			}
		}
		c.mu.Unlock()
		if len(all) == 0 {
			yield(hdfs.Info{}, fs.ErrNotExist)
			return
		}
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Recover leaves a part of what was not flushed, as a real cluster may.
func (c *cluster) Recover(ctx context.Context, name string) (hdfs.Info, error) {
	if err := c.call(ctx, "recover %s", name); err != nil {
		return hdfs.Info{}, err
	}
	defer c.mu.Unlock()
	if n := c.files[name]; n != nil && n.writer != nil {
		n.data = append(n.data, n.pending[:len(n.pending)/2]...)
		n.pending = nil
		n.writer.dead, n.writer = hdfs.ErrLost, nil
	}
	return c.info(name)
}

func (c *cluster) Truncate(ctx context.Context, name string, size int64) error {
	if err := c.call(ctx, "truncate %s", name); err != nil {
		return err
	}
	defer c.mu.Unlock()
	n := c.files[name]
	n.data = n.data[:size]
	return nil
}

func (c *cluster) Close() error { return nil }

func (h *handle) Write(ctx context.Context, p []byte) (int, error) {
	if err := h.c.call(ctx, "write %s", h.name); err != nil {
		return 0, err
	}
	defer h.c.mu.Unlock()
	if h.dead != nil {
		return 0, h.dead
	}
	h.n.pending = append(h.n.pending, p...)
	h.size += int64(len(p))
	return len(p), nil
}

func (h *handle) Flush(ctx context.Context, _ hdfs.Durability) error {
	if err := h.c.call(ctx, "flush %s", h.name); err != nil {
		if errors.Is(err, hdfs.ErrLost) {
			h.dead = err
		}
		return err
	}
	defer h.c.mu.Unlock()
	if h.dead != nil {
		return h.dead
	}
	h.n.data = append(h.n.data, h.n.pending...)
	h.n.pending = nil
	return nil
}

func (h *handle) Size() int64 { return h.size }

func (h *handle) Acked() int64 {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return int64(len(h.n.data))
}

func (h *handle) Replicas() int {
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	return h.n.replicas
}

func (h *handle) Close(ctx context.Context) error {
	if err := h.c.call(ctx, "close %s", h.name); err != nil {
		return err
	}
	defer h.c.mu.Unlock()
	if h.dead != nil {
		return h.dead
	}
	h.n.data, h.n.pending, h.n.writer = append(h.n.data, h.n.pending...), nil, nil
	return nil
}

func (h *handle) Abandon() {}

// when makes a fault of the calls that contain a text, until it is told to stop.
func (c *cluster) when(text string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = nil
	if err != nil {
		c.fault = func(call string) error {
			if strings.Contains(call, text) {
				return err
			}
			return nil
		}
	}
}

// ls are the files with what readers see of them, by name; the numbers of the names count from the first of the listing.
func (c *cluster) ls() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.files {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		n := c.files[name]
		text := strings.ReplaceAll(strings.TrimSuffix(string(n.data), "\n"), "\n", ",")
		out = append(out, name+"="+text)
	}
	return strings.ReplaceAll(strings.Join(out, " "), "FlumeData.", "")
}

func (c *cluster) count(text string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		if strings.Contains(call, text) {
			n++
		}
	}
	return n
}

// everything is the text of all files, sorted by line.
func (c *cluster) everything() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, n := range c.files {
		for line := range strings.Lines(string(n.data)) {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(all)
	return all
}

// A rig is a sink over a cluster, with a disk for its journal.
type rig struct {
	*sink
	cluster *cluster
	disk    *vfs.Memory
	env     *flumetest.Env
}

const textFiles = "hdfs.fileType = DataStream"

func (c *cluster) open(t testing.TB, disk *vfs.Memory, settings ...string) *rig {
	t.Helper()
	return c.openAs(t, c, disk, settings...)
}

// openAs opens a sink that sees the cluster as another file system.
func (c *cluster) openAs(t testing.TB, as hdfs.FS, disk *vfs.Memory, settings ...string) *rig {
	t.Helper()
	env := flumetest.NewEnv()
	all := append([]string{"hdfs.path = hdfs://nn/d/%{b}", textFiles, "hdfs.journalDir = /j"}, settings...)
	for i := len(all) - 1; i > 2; i-- { // a later one counts
		key, _, _ := strings.Cut(all[i], "=")
		for n := range 3 {
			if strings.HasPrefix(all[n], key+"=") {
				all[n] = all[i]
				all = slices.Delete(all, i, i+1)
				break
			}
		}
	}
	plan, problems := Kind.Bind(flumetest.Section(t, all...))
	if problems.Fatal() {
		t.Fatal(problems)
	}
	k, err := openOn(plan.Settings.(*Settings), env.Env, hdfs.NewConf(), disk, func(string) (hdfs.FS, error) { return as, nil })
	if err != nil {
		t.Fatal(err)
	}
	return &rig{k, c, disk, env}
}

func start(t testing.TB, settings ...string) *rig {
	t.Helper()
	return newCluster().open(t, vfs.NewMemory(), settings...)
}

func (r *rig) close(t testing.TB) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// to makes events for a bucket, with one body for each word.
func to(bucket string, bodies ...string) (b flume.Batch) {
	for _, text := range bodies {
		b = append(b, flume.Event{Headers: flume.Headers{{Key: "b", Value: bucket}, {Key: "timestamp", Value: "1711886400000"}}, Body: []byte(text)})
	}
	return b
}

func (r *rig) put(t testing.TB, b flume.Batch) {
	t.Helper()
	if err := r.Deliver(t.Context(), b); err != nil {
		t.Errorf("delivering: %v", err)
	}
}

// pending are the indexes of a partial delivery.
func (r *rig) pending(t testing.TB, b flume.Batch) []int {
	t.Helper()
	partial := new(flume.PartialError)
	if err := r.Deliver(t.Context(), b); err != nil && !errors.As(err, &partial) {
		t.Fatal(err)
	}
	return partial.Pending
}
