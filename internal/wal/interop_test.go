//go:build interop

package wal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// Ping-pong with real Flume on the same directories. PEERS is the program that runs it (peers flume file-channel …),
// WAL_ROUNDS how often the directories change hands in each variant, WAL_SEED where to begin.

func peers(t *testing.T) string {
	t.Helper()
	p := os.Getenv("PEERS")
	if p == "" {
		t.Fatal("PEERS does not name the program that runs real Flume")
	}
	return p
}

// A pingPong is one set of directories and what must be in them.
type pingPong struct {
	t      *testing.T
	r      *rand.Rand
	dir    string
	o      Options
	flume  []string // settings
	queue  []int
	next   int
	inTurn bool // the order is known
	rounds int
	killed int // rounds that ended without closing
}

// A turn is what one side does while it has the directories.
type turn struct {
	Dir        string
	Put, From  int
	Batch      int
	Take       int
	Hold       int // takes that are never committed
	Checkpoint bool
	Kill       bool
	MaxFile    int64
	Dirs       []string
	Backup     bool
	Compress   bool
	Key        string
	Capacity   int
}

func TestPingPong(t *testing.T) {
	for name, set := range map[string]func(*pingPong){
		"plain": func(*pingPong) {},
		"dual": func(p *pingPong) {
			p.o.BackupDir = filepath.Join(p.dir, "backup")
			p.flume = append(p.flume, "useDualCheckpoints=true")
		},
		"dual compressed": func(p *pingPong) {
			p.o.BackupDir, p.o.CompressBackup = filepath.Join(p.dir, "backup"), true
			p.flume = append(p.flume, "useDualCheckpoints=true", "compressBackupCheckpoint=true")
		},
		"two directories": func(p *pingPong) {
			p.o.DataDirs = []string{filepath.Join(p.dir, "data1"), filepath.Join(p.dir, "data2")}
			p.flume = append(p.flume, "dataDirs="+strings.Join(p.o.DataDirs, ","))
			p.inTurn = false
		},
		"encrypted": func(p *pingPong) {
			p.o.ActiveKey = "key-1"
			keys := unpackKeys(t, p.dir)
			p.flume = append(p.flume, "encryption.cipherProvider=AESCTRNOPADDING", "encryption.keyProvider=JCEKSFILE",
				"encryption.keyProvider.keyStoreFile="+keys+"/keystore.jceks",
				"encryption.keyProvider.keyStorePasswordFile="+keys+"/keystore.password",
				"encryption.keyProvider.keys=key-0 key-1",
				"encryption.keyProvider.keys.key-1.passwordFile="+keys+"/key-1.password",
				"encryption.activeKey=key-1")
		},
		"everything": func(p *pingPong) {
			p.o.BackupDir, p.o.CompressBackup = filepath.Join(p.dir, "backup"), true
			p.o.DataDirs = []string{filepath.Join(p.dir, "data1"), filepath.Join(p.dir, "data2"), filepath.Join(p.dir, "data3")}
			p.flume = append(p.flume, "useDualCheckpoints=true", "compressBackupCheckpoint=true", "dataDirs="+strings.Join(p.o.DataDirs, ","))
			p.inTurn = false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := fromEnv("WAL_SEED", time.Now().UnixNano()%1_000_000)
			t.Logf("WAL_SEED=%d", seed)
			p := &pingPong{t: t, r: rand.New(rand.NewPCG(uint64(seed), sum([]byte(name)))), dir: t.TempDir(), inTurn: true}
			p.o = Options{CheckpointDir: filepath.Join(p.dir, "checkpoint"), DataDirs: []string{filepath.Join(p.dir, "data")}}
			set(p)
			for range fromEnv("WAL_ROUNDS", 10) {
				p.round()
				if t.Failed() {
					return
				}
			}
			got := p.flumeTurn(turn{Take: 1 << 30, Batch: 100})
			p.took("Flume, at the end", got, len(p.queue))
			t.Logf("%s: %d rounds, %d of them ended without closing; %d events, each taken once", name, p.rounds, p.killed, p.next)
		})
	}
}

func unpackKeys(t *testing.T, dir string) string {
	t.Helper()
	m := unpack(t, "encrypted-one-key")
	to := filepath.Join(dir, "keys")
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keystore.jceks", "keystore.password", "key-1.password"} {
		b, err := readFile(m, "/keys/"+name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func (p *pingPong) round() {
	x := turn{
		Put: p.r.IntN(300), From: p.next, Batch: 1 + p.r.IntN(100), Take: p.r.IntN(2 * (len(p.queue) + 1)),
		Kill: p.r.IntN(2) == 0, Checkpoint: p.r.IntN(3) == 0, MaxFile: []int64{8000, 50_000, 10_000_000}[p.r.IntN(3)],
	}
	var got []int
	ours := p.r.IntN(2) == 0
	if ours {
		x.Hold = p.r.IntN(50)
		got = p.sluiceTurn(x)
	} else {
		// Flume's tool does one thing at a time.
		if p.r.IntN(2) == 0 {
			x.Put = 0
		} else {
			x.Take = 0
		}
		got = p.flumeTurn(x)
	}
	for i := range x.Put {
		p.queue = append(p.queue, x.From+i)
	}
	p.next += x.Put
	p.rounds++
	if x.Kill {
		p.killed++
	}
	p.took(fmt.Sprintf("ours=%v %+v", ours, x), got, min(x.Take, len(p.queue)))
}

// took checks what a side has taken and takes it off the queue.
func (p *pingPong) took(who string, got []int, want int) {
	p.t.Helper()
	if len(got) != want {
		p.t.Fatalf("%s: took %d events, want %d of %d", who, len(got), want, len(p.queue))
	}
	if p.inTurn && !slices.Equal(got, p.queue[:want]) {
		p.t.Fatalf("%s: the order is wrong: %v, want %v", who, got, p.queue[:want])
	}
	left := map[int]bool{}
	for _, n := range p.queue {
		left[n] = true
	}
	for _, n := range got {
		if !left[n] {
			p.t.Fatalf("%s: event %d came twice, or never was", who, n)
		}
		delete(left, n)
	}
	p.queue = slices.DeleteFunc(p.queue, func(n int) bool { return !left[n] })
}

var taken = regexp.MustCompile(`\bevent (\d{8})`)

func numbers(t *testing.T, out []byte) []int {
	t.Helper()
	var got []int
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if m := taken.FindStringSubmatch(s.Text()); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
	}
	return got
}

func (p *pingPong) flumeTurn(x turn) []int {
	p.t.Helper()
	args := []string{"flume", "file-channel"}
	if x.Take > 0 {
		args = append(args, "drain", p.dir, fmt.Sprint("--max=", x.Take))
	} else {
		args = append(args, "fill", p.dir, fmt.Sprint("--count=", x.Put), fmt.Sprint("--from=", x.From))
	}
	args = append(args, fmt.Sprint("--batch=", x.Batch))
	if x.Kill {
		args = append(args, "--crash")
	}
	if x.Checkpoint && p.o.BackupDir == "" { // Flume refuses one while it still copies the one before
		args = append(args, "--checkpoint")
	}
	if x.MaxFile > 0 {
		args = append(args, fmt.Sprint("maxFileSize=", x.MaxFile))
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, peers(p.t), append(args, p.flume...)...)
	c.WaitDelay = time.Second
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if code := c.ProcessState.ExitCode(); code != 0 && (code != 9 || !x.Kill) {
		p.t.Fatalf("flume %v: %v\n%s\n%s", args, err, out, stderr.Bytes())
	}
	if bytes.Contains(out, []byte("full_replay_after_bad_checkpoint=true")) || bytes.Contains(out, []byte("backup_restored=true")) {
		p.t.Fatalf("Flume did not like the checkpoint:\n%s\n%s", out, stderr.Bytes())
	}
	return numbers(p.t, out)
}

func (p *pingPong) sluiceTurn(x turn) []int {
	p.t.Helper()
	x.Dir, x.Dirs, x.Backup, x.Compress, x.Key = p.dir, p.o.DataDirs, p.o.BackupDir != "", p.o.CompressBackup, p.o.ActiveKey
	x.Capacity = 100_000
	b, err := json.Marshal(x)
	if err != nil {
		p.t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run=^TestTurn$")
	c.Env = append(os.Environ(), "WAL_TURN="+string(b))
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("our turn %+v: %v\n%s", x, err, out)
	}
	return numbers(p.t, out)
}

// TestTurn is our side, in a process of its own, so that it can end without closing.
func TestTurn(t *testing.T) {
	var x turn
	if err := json.Unmarshal([]byte(os.Getenv("WAL_TURN")), &x); err != nil {
		t.Skip("this is run by TestPingPong")
	}
	o := Options{
		CheckpointDir: filepath.Join(x.Dir, "checkpoint"), DataDirs: x.Dirs, Capacity: x.Capacity, MaxFileSize: x.MaxFile,
		CompressBackup: x.Compress, Strict: true, ActiveKey: x.Key,
	}
	if x.Backup {
		o.BackupDir = filepath.Join(x.Dir, "backup")
	}
	if x.Key != "" {
		c := goldenCase{Open: map[string]string{
			"encryption.keyProvider.keyStoreFile":            x.Dir + "/keys/keystore.jceks",
			"encryption.keyProvider.keyStorePasswordFile":    x.Dir + "/keys/keystore.password",
			"encryption.keyProvider.keys":                    "key-0 key-1",
			"encryption.keyProvider.keys.key-1.passwordFile": x.Dir + "/keys/key-1.password",
		}}
		o.Keys = goldenKeys(t, vfs.OS{}, c.Open)
	}
	l, rec, err := Open(vfs.OS{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Torn)+len(rec.Notes)+len(rec.Strange)+len(rec.Missing) > 0 {
		t.Fatalf("recovery: %+v", rec)
	}
	ctx := context.Background()
	for i := 0; i < x.Put; {
		var b flume.Batch
		for ; i < x.Put && len(b) < x.Batch; i++ {
			b = append(b, flume.Event{
				Headers: flume.Headers{{Key: "n", Value: strconv.Itoa(x.From + i)}},
				Body:    fmt.Appendf(nil, "event %08d", x.From+i),
			})
		}
		if err := l.Reserve(ctx, len(b)); err != nil {
			t.Fatal(err)
		}
		if err := l.Put(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	for left := x.Take; left > 0; {
		k, err := l.Take(min(left, x.Batch), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		for _, e := range k.Batch() {
			fmt.Println(string(e.Body))
		}
		left -= len(k.Batch())
		if err := k.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if x.Hold > 0 {
		if _, err := l.Take(x.Hold, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if x.Checkpoint {
		if err := l.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if x.Kill {
		os.Exit(0)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
}

// What Flume has written, and broken, is sound for it after we had it.
func TestFlumeOpensWhatWeRepaired(t *testing.T) {
	for _, c := range goldenCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata/golden", c.Name+".tar.gz"), "-C", dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for k, v := range c.Open {
				switch {
				case k == "dataDirs":
					var dirs []string
					for d := range strings.SplitSeq(v, ",") {
						dirs = append(dirs, filepath.Join(dir, strings.TrimSpace(d)))
					}
					c.Open[k] = strings.Join(dirs, ",")
				case strings.HasSuffix(k, "Dir"), strings.HasSuffix(k, "File"):
					c.Open[k] = filepath.Join(dir, v)
				}
			}
			o := c.options(t, vfs.OS{})
			l, _, err := Open(vfs.OS{}, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			args := []string{"flume", "file-channel", "drain", dir}
			for k, v := range c.Open {
				args = append(args, k+"="+v)
			}
			out, err := exec.Command(peers(t), args...).Output()
			if err != nil || !bytes.Contains(out, fmt.Appendf(nil, "# taken=%d\n", c.Events)) {
				t.Fatalf("%v, want %d events\n%.2000s", err, c.Events, out)
			}
			if bytes.Contains(out, []byte("full_replay_after_bad_checkpoint=true")) || bytes.Contains(out, []byte("backup_restored=true")) {
				t.Errorf("Flume did not like the checkpoint:\n%.2000s", out)
			}
			var want []int
			for _, s := range c.want(t) {
				want = append(want, numbers(t, []byte(s))...)
			}
			if got := numbers(t, out); c.HeadAny == 0 && !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			l, rec, err := Open(vfs.OS{}, o)
			if err != nil || rec.Events != 0 {
				t.Fatalf("after Flume: %+v, %v", rec, err)
			}
			if err := l.Close(true); err != nil {
				t.Error(err)
			}
		})
	}
}

// Flume must not open what we have open, and we must see a Flume that has.
func TestLocksAgainstFlume(t *testing.T) {
	dir := t.TempDir()
	o := Options{CheckpointDir: filepath.Join(dir, "checkpoint"), DataDirs: []string{filepath.Join(dir, "data")}, Capacity: 100_000, MaxFileSize: LargestFile}
	l, _, err := Open(vfs.OS{}, o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(peers(t), "flume", "file-channel", "look", dir)
	if out, _ := c.Output(); c.ProcessState.ExitCode() != 3 {
		t.Errorf("Flume opens what we have open: %s", out)
	}
	if err := l.Checkpoint(); err != nil { // Flume has removed our lock files when it ended
		t.Error(err)
	}
	if c := exec.Command(peers(t), "flume", "file-channel", "look", dir); c.Run() == nil {
		t.Error("Flume opens what we have open, the second time")
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}

	c = exec.Command(peers(t), "flume", "file-channel", "hold", dir)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan() && !strings.Contains(s.Text(), "HELD"); {
	}
	_, _, err = Open(vfs.OS{}, o)
	if err == nil || !strings.Contains(err.Error(), "java") {
		t.Errorf("opening what Flume has open: %v", err)
	} else {
		t.Log(err)
	}
	in.Close()
	c.Wait()
}
