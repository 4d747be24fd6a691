//go:build interop

package hdfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The tests of this file write to a real cluster of test/peers: a NameNode and three DataNodes. PEERS_DATA and
// PEERS_PORT_BASE say where; HDFS_MB how much the main test writes.

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "write" {
		writeUntilKilled(os.Args[2])
		return
	}
	own := os.Getenv("PEERS_DATA") == ""
	if own {
		dir, err := os.MkdirTemp("", "sluice-hdfs-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Setenv("PEERS_DATA", dir)
	}
	status := 1
	_, running := peers("status")
	if out, err := peers("start", "--datanodes", "3", "--replication", "2", "--set", "hadoop.proxyuser.flume.hosts=*", "--set", "hadoop.proxyuser.flume.groups=*"); err != nil {
		fmt.Fprintln(os.Stderr, out, err)
	} else {
		status = m.Run()
	}
	if running != nil {
		peers("stop")
	}
	if own {
		os.RemoveAll(os.Getenv("PEERS_DATA"))
	}
	os.Exit(status)
}

func peers(args ...string) (string, error) {
	out, err := exec.Command("../../test/peers/peers", append([]string{"hdfs"}, args...)...).CombinedOutput()
	return string(out), err
}

func mustPeers(t *testing.T, args ...string) string {
	t.Helper()
	out, err := peers(args...)
	if err != nil {
		t.Errorf("peers hdfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func clusterConf() *Conf {
	c, err := ReadConf(filepath.Join(os.Getenv("PEERS_DATA"), "hdfs", "conf"))
	if err != nil {
		panic(err)
	}
	return c
}

func cluster(t *testing.T, edit func(*Options)) FS {
	t.Helper()
	o := Options{Conf: clusterConf(), User: "flume"}
	if edit != nil {
		edit(&o)
	}
	root, _, err := Split("/", o.Conf)
	if err != nil {
		t.Fatal(err)
	}
	before := goleak.IgnoreCurrent()
	f, err := Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return f
}

// A tape writes numbered lines, and knows which of them must be there.
type tape struct {
	lines, flushed int64
	lineSize       int
	buf            []byte
}

func (p *tape) line(i int64) []byte {
	p.buf = fmt.Appendf(p.buf[:0], "%012d ", i)
	for len(p.buf) < p.lineSize-1 {
		p.buf = append(p.buf, byte('a'+(i+int64(len(p.buf)))%26))
	}
	p.buf = append(p.buf, '\n')
	return p.buf
}

// record writes n lines and flushes them; an error leaves the count of what Write took.
func (p *tape) record(ctx context.Context, f File, n int, d Durability) error {
	for range n {
		line := p.line(p.lines)
		for len(line) > 0 {
			k, err := f.Write(ctx, line)
			line = line[k:]
			if err != nil && len(line) > 0 {
				if errors.Is(err, ErrLost) || ctx.Err() != nil {
					return err
				}
				continue
			}
			if err != nil {
				p.lines++
				return err
			}
		}
		p.lines++
	}
	if err := f.Flush(ctx, d); err != nil {
		return err
	}
	p.flushed = p.lines
	return nil
}

// verify reads the file and finds every flushed line once, in order.
func (p *tape) verify(t *testing.T, ctx context.Context, f FS, name string, complete bool) {
	t.Helper()
	r, err := f.Open(ctx, name, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 1<<20)
	var i int64
	for ; ; i++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			if len(line) > 0 && complete {
				t.Errorf("%s ends in half a line", name)
			}
			break
		}
		if err != nil {
			t.Errorf("reading line %d of %s: %v", i, name, err)
			return
		}
		if string(line) != string(p.line(i)) {
			t.Errorf("line %d of %s is %.40q", i, name, line)
			return
		}
	}
	if i < p.flushed || complete && i != p.lines {
		t.Errorf("%s has %d lines; %d were flushed and %d written", name, i, p.flushed, p.lines)
	}
}

// resume goes on after ErrLost, as a sink does: with what was flushed.
func (p *tape) resume(t *testing.T, ctx context.Context, f FS, w File, name string) File {
	t.Helper()
	w.Abandon()
	var i Info
	err := errors.New("not tried")
	for err != nil && ctx.Err() == nil { // the DataNodes have to be there
		call, cancel := context.WithTimeout(ctx, 30*time.Second)
		i, err = f.Recover(call, name)
		cancel()
	}
	flushed := p.flushed * int64(p.lineSize)
	if err != nil || i.Size < flushed {
		t.Fatalf("%d bytes are recovered, of %d flushed: %v", i.Size, flushed, err)
	}
	if i.Size > flushed {
		if err := f.Truncate(ctx, name, flushed); err != nil {
			t.Fatal(err)
		}
	}
	if w, err = f.Append(ctx, name); err != nil {
		t.Fatal(err)
	}
	p.lines = p.flushed
	return w
}

func megabytes(t *testing.T, def int) int64 {
	if v := os.Getenv("HDFS_MB"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		def = n
	}
	return int64(def) << 20
}

// troubleMaker kills DataNodes one after the other and brings them back, until it is stopped.
func troubleMaker(t *testing.T, every time.Duration, namenode bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for i := 0; pause(ctx, every) == nil; i++ {
			n := strconv.Itoa(1 + i%3)
			if namenode && i%4 == 2 {
				t.Log(strings.TrimSpace(mustPeers(t, "kill-namenode")))
				pause(ctx, time.Second)
				t.Log(strings.TrimSpace(mustPeers(t, "start-namenode")))
				continue
			}
			t.Log(strings.TrimSpace(mustPeers(t, "kill-datanode", n)))
			pause(ctx, 2*time.Second)
			t.Log(strings.TrimSpace(mustPeers(t, "start-datanode", n)))
		}
	})
	return func() { // may be called again
		cancel()
		done.Wait()
		for i := range 3 {
			mustPeers(t, "start-datanode", strconv.Itoa(i+1))
		}
	}
}

// TestNodesKilled writes through one file in many flushes while DataNodes are killed and come back, and the NameNode is
// restarted.
func TestNodesKilled(t *testing.T) {
	f := cluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	for _, replication := range []int{2, 3} {
		t.Run(fmt.Sprint("replication ", replication), func(t *testing.T) {
			name := fmt.Sprintf("/killed/%d", replication)
			w, err := f.Create(ctx, name, CreateOptions{Replication: replication, BlockSize: 16 << 20})
			if err != nil {
				t.Fatal(err)
			}
			stop := troubleMaker(t, 5*time.Second, true)
			defer stop()
			p := &tape{lineSize: 437}
			total := megabytes(t, 100)
			flushes, late, lost, worst := 0, 0, 0, time.Duration(0)
			began := time.Now()
			for w.Size() < total && ctx.Err() == nil {
				// The time of a call is Flume's, or short: then the call is made again.
				limit := 30 * time.Second
				if flushes%10 == 0 {
					limit = 500 * time.Millisecond
				}
				call, cancel := context.WithTimeout(ctx, limit)
				t0 := time.Now()
				err := p.record(call, w, 1+rand.N(150), Durability(flushes%7/6))
				cancel()
				if err != nil {
					if late++; errors.Is(err, ErrLost) { // all nodes of a pipeline were killed before one came back
						t.Log(err)
						lost++
						w = p.resume(t, ctx, f, w, name)
					}
				}
				worst = max(worst, time.Since(t0))
				flushes++
				time.Sleep(8 * time.Millisecond)
			}
			stop()
			if err := w.Close(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes in %d flushes, %d late, lost and taken up again %d times, the longest %v, in %v", w.Size(), flushes, late, lost, worst, time.Since(began))
			p.verify(t, ctx, f, name, true)
			if i, err := f.Stat(ctx, name); err != nil || i.Size != w.Size() {
				t.Errorf("%v bytes of %d: %v", i.Size, w.Size(), err)
			}
		})
	}
}

// TestWriterKilled kills a writing process; another one recovers the file, reads what was flushed, cuts it to whole
// lines and goes on.
func TestWriterKilled(t *testing.T) {
	f := cluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for round := range 5 {
		name := fmt.Sprintf("/orphan/%d", round)
		cmd := exec.CommandContext(ctx, os.Args[0], "write", name)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(time.Second + rand.N(time.Second))
		p := &tape{lineSize: 100}
		for in := bufio.NewScanner(out); in.Scan(); {
			p.flushed, err = strconv.ParseInt(in.Text(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		p.verify(t, ctx, f, name, false) // nobody has closed it
		began := time.Now()
		i, err := f.Recover(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("recovered in %v: %d bytes, %d of them flushed", time.Since(began), i.Size, p.flushed*100)
		p.verify(t, ctx, f, name, false)
		whole := i.Size / 100 * 100
		if round%2 == 0 {
			whole = p.flushed * 100
		}
		if whole < i.Size {
			if err := f.Truncate(ctx, name, whole); err != nil {
				t.Fatal(err)
			}
		}
		w, err := f.Append(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if p.lines = whole / 100; w.Size() != whole || w.Acked() != whole {
			t.Errorf("appending at %d, acknowledged %d, of %d", w.Size(), w.Acked(), whole)
		}
		for range 20 {
			if err := p.record(ctx, w, 7, Hflush); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
		p.verify(t, ctx, f, name, true)
	}
}

func writeUntilKilled(name string) {
	conf := clusterConf()
	root, _, err := Split("/", conf)
	if err != nil {
		panic(err)
	}
	f, err := Open(root, Options{Conf: conf, User: "flume"})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	w, err := f.Create(ctx, name, CreateOptions{BlockSize: 1 << 20})
	if err != nil {
		panic(err)
	}
	for p := (&tape{lineSize: 100}); ; {
		if err := p.record(ctx, w, 1+rand.N(500), Hflush); err != nil {
			panic(err)
		}
		fmt.Println(p.flushed)
	}
}

// TestAppend goes on with files of many lengths, with partial chunks and full blocks.
func TestAppend(t *testing.T) {
	f := cluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, size := range []int{1, 511, 512, 513, 1000, 4095, 4096, 4097, 8192} {
		name := fmt.Sprintf("/append/%d", size)
		p := &tape{lineSize: 1}
		want := []byte(strings.Repeat("abcdefg", size)[:size])
		w, err := f.Create(ctx, name, CreateOptions{BlockSize: 4096})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(ctx, want); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if w, err = f.Append(ctx, name); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				more := []byte(strings.Repeat("0123456789", 200)[:rand.N(900)])
				if _, err := w.Write(ctx, more); err != nil {
					t.Fatal(err)
				}
				if err := w.Flush(ctx, Durability(rand.N(2))); err != nil {
					t.Fatal(err)
				}
				if want = append(want, more...); w.Acked() != int64(len(want)) {
					t.Errorf("%d of %d acknowledged", w.Acked(), len(want))
				}
			}
			if err := w.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		r, err := f.Open(ctx, name, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != string(want) {
			t.Errorf("after %d: %d bytes of %d, %v", size, len(got), len(want), err)
		}
		_ = p
	}
	if err := f.Delete(ctx, "/append", true); err != nil {
		t.Error(err)
	}
}

// TestManyFiles writes to many at once, from as many goroutines, while a DataNode is killed.
func TestManyFiles(t *testing.T) {
	f := cluster(t, func(o *Options) { o.Buffer = 4 << 20 })
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	stop := troubleMaker(t, 4*time.Second, false)
	defer stop()
	var done sync.WaitGroup
	for i := range 60 {
		done.Go(func() {
			name := fmt.Sprintf("/many/%03d", i)
			w, err := f.Create(ctx, name, CreateOptions{Replication: 2, BlockSize: 1 << 20})
			if err != nil {
				t.Error(err)
				return
			}
			p := &tape{lineSize: 200}
			for range 60 {
				if err := p.record(ctx, w, 1+rand.N(200), Hflush); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
			if err := w.Close(ctx); err != nil {
				t.Error(err)
				return
			}
			p.verify(t, ctx, f, name, true)
		})
	}
	done.Wait()
	stop()
	n := 0
	for _, err := range f.List(ctx, "/many") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 60 {
		t.Errorf("%d files are listed", n)
	}
}

// TestNames has the calls that touch names alone.
func TestNames(t *testing.T) {
	f := cluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	names(t, ctx, f, "/names")
	if out := mustPeers(t, "fs", "-stat", "%u %a", "/names/b"); strings.TrimSpace(out) != "flume 644" {
		t.Errorf("its owner and permission are %s", out)
	}
}

// TestProxyUser acts as another user.
func TestProxyUser(t *testing.T) {
	owned(t, cluster(t, func(o *Options) { o.ProxyUser = "alice" }), "alice")
	f := cluster(t, func(o *Options) { o.User, o.ProxyUser = "bob", "alice" })
	if err := f.Mkdirs(t.Context(), "/proxy"); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func owned(t *testing.T, f FS, user string) {
	t.Helper()
	if err := f.Mkdirs(t.Context(), "/owned"); err != nil {
		t.Fatal(err)
	}
	if i, err := f.Stat(t.Context(), "/owned"); err != nil || i.Owner != user || !i.Dir {
		t.Error(i, err)
	}
	if err := f.Delete(t.Context(), "/owned", true); err != nil {
		t.Error(err)
	}
}

// A tap keeps what servers send.
type tap struct {
	net.Conn
	mu  *sync.Mutex
	got *bytes.Buffer
}

func (t tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	t.got.Write(p[:n])
	t.mu.Unlock()
	return n, err
}

// TestRecord makes the files of testdata, if HDFS_RECORD is set.
func TestRecord(t *testing.T) {
	if os.Getenv("HDFS_RECORD") == "" {
		t.Skip("HDFS_RECORD is not set")
	}
	c := cluster(t, nil).(*client)
	ctx := t.Context()
	var mu sync.Mutex
	var got []*bytes.Buffer
	dial := c.caller.dial
	c.caller.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, new(bytes.Buffer))
		return tap{nc, &mu, got[len(got)-1]}, err
	}
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Create(ctx, "/record/file", CreateOptions{BlockSize: 4096})
	try(err)
	for _, n := range [][2]int{{0, 4000}, {4000, 4500}, {4500, 5000}} {
		_, err = w.Write(ctx, text(5000)[n[0]:n[1]])
		try(err)
		try(w.Flush(ctx, Hsync))
	}
	try(w.Close(ctx))
	r, err := c.Open(ctx, "/record/file", 4096)
	try(err)
	_, err = io.ReadAll(r)
	try(err)
	r.Close()
	for range c.List(ctx, "/record") {
	}
	_, err = c.Stat(ctx, "/record/file")
	try(err)
	if _, err := c.Append(ctx, "/record"); err == nil {
		t.Error("a directory can be appended to")
	}
	for i, name := range []string{"namenode", "", "write", "read"} {
		t.Log(i, name, got[i].Len())
		if name != "" {
			try(os.WriteFile(filepath.Join("testdata", name), got[i].Bytes(), 0o644))
		}
	}
}

// TestManyOpen has thousands of files open, flushes all of them a few times, and says what they cost. HDFS_OPEN says how
// many; a DataNode needs dfs.datanode.max.transfer.threads above that.
func TestManyOpen(t *testing.T) {
	n := 300
	if v := os.Getenv("HDFS_OPEN"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	f := cluster(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	files := make([]File, n)
	each := func(do func(i int) error) {
		t.Helper()
		work := make(chan int)
		var done sync.WaitGroup
		for range 16 {
			done.Go(func() {
				for i := range work {
					if err := do(i); err != nil {
						t.Error(err)
						cancel()
					}
				}
			})
		}
		for i := range n {
			work <- i
		}
		close(work)
		done.Wait()
	}
	runtime.GC()
	base := resident(t)
	began := time.Now()
	each(func(i int) (err error) {
		files[i], err = f.Create(ctx, fmt.Sprintf("/open/%d", i), CreateOptions{Replication: 1, BlockSize: 1 << 20}) // a node sets a whole block of disk aside for each
		return err
	})
	t.Logf("%d files made in %v", n, time.Since(began))
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 5 {
		began = time.Now()
		each(func(i int) error {
			for range 3 {
				if _, err := files[i].Write(ctx, line); err != nil {
					return err
				}
			}
			return files[i].Flush(ctx, Hflush)
		})
		t.Logf("flushed in %v; %d MB more are resident, %d goroutines", time.Since(began), (resident(t)-base)>>20, runtime.NumGoroutine())
	}
	began = time.Now()
	each(func(i int) error { return files[i].Close(ctx) })
	t.Logf("closed in %v", time.Since(began))
	if err := f.Delete(ctx, "/open", true); err != nil {
		t.Error(err)
	}
}

func resident(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkWrite writes 64 KB at a time, with a flush for each megabyte; one operation is a megabyte.
func BenchmarkWrite(b *testing.B) {
	for _, files := range []int{1, 4} {
		for _, replication := range []int{1, 3} {
			b.Run(fmt.Sprintf("files=%d/replication=%d", files, replication), func(b *testing.B) {
				conf := clusterConf()
				root, _, err := Split("/", conf)
				if err != nil {
					b.Fatal(err)
				}
				f, err := Open(root, Options{Conf: conf})
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				b.SetBytes(1 << 20)
				b.ReportAllocs()
				piece := []byte(strings.Repeat("0123456789abcdef", 4096))
				var done sync.WaitGroup
				for i := range files {
					done.Go(func() {
						w, err := f.Create(b.Context(), fmt.Sprintf("/speed/%d", i), CreateOptions{Replication: replication})
						if err != nil {
							b.Error(err)
							return
						}
						for n := range b.N * 16 / files {
							if _, err := w.Write(b.Context(), piece); err != nil {
								b.Error(err)
								return
							}
							if n%16 == 15 {
								if err := w.Flush(b.Context(), Hflush); err != nil {
									b.Error(err)
									return
								}
							}
						}
						if err := w.Close(b.Context()); err != nil {
							b.Error(err)
						}
					})
				}
				done.Wait()
			})
		}
	}
}
