package hdfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// text is n bytes that are all different runs.
func text(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%d,", i)
	}
	return b[:n]
}

// TestPipelineFaults writes a file of three blocks in small flushes through a cluster that makes one fault.
func TestPipelineFaults(t *testing.T) {
	for _, test := range []struct {
		name    string
		arrange func(f *fake)
		nodes   int // in the end
		want    func(f *fake) error
	}{
		{"none", func(f *fake) {}, 3, func(f *fake) error {
			if n := f.count("updatePipeline"); n != 0 {
				return fmt.Errorf("%d recoveries", n)
			}
			return nil
		}},
		{"second node fails", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return fakeAck(-2, 0, 1, 1)
				}
				return nil
			}
		}, 2, nil},
		{"last node fails", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return fakeAck(k.seq, 0, 0, 2)
				}
				return nil
			}
		}, 2, func(f *fake) error {
			if got := f.pipelines[1]; got != "3 [dn0:1 dn1:1]" {
				return fmt.Errorf("recovered by %s", got)
			}
			return nil
		}},
		{"first node goes", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return []byte{}
				}
				return nil
			}
		}, 2, func(f *fake) error {
			if got := f.pipelines[1]; got != "3 [dn1:1 dn2:1]" {
				return fmt.Errorf("recovered by %s", got)
			}
			return nil
		}},
		{"first node says nothing any more", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return []byte("silent")
				}
				return nil
			}
		}, 2, nil},
		{"out of turn", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return fakeAck(k.seq+1, 0, 0, 0)
				}
				return nil
			}
		}, 2, nil},
		{"garbage", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return []byte{0xff, 0xff, 0xff, 0xff}
				}
				return nil
			}
		}, 2, nil},
		{"the end of a block is lost", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.last {
					return []byte{}
				}
				return nil
			}
		}, 2, func(f *fake) error {
			if got := f.pipelines[1]; got != "5 [dn1:1 dn2:1]" {
				return fmt.Errorf("closed by %s", got)
			}
			return nil
		}},
		{"two go, one after the other", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p < 2 && k.off > 1000 {
					return []byte{}
				}
				return nil
			}
		}, 1, nil},
		{"another takes its place", func(f *fake) {
			f.spare = []int{3}
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return []byte{}
				}
				return nil
			}
		}, 2, func(f *fake) error { // the blocks after it are the NameNode's choice
			if got := f.pipelines[1] + fmt.Sprint(f.copied); got != "3 [dn1:1 dn2:1 dn3:1][dn1:1]" {
				return fmt.Errorf("recovered by %s", got)
			}
			return nil
		}},
		{"a node refuses a new block", func(f *fake) {
			f.down["dn1:1"] = true
		}, 2, func(f *fake) error {
			if f.count("abandonBlock") != 1 {
				return fmt.Errorf("%d blocks abandoned", f.count("abandonBlock"))
			}
			return nil
		}},
		{"a node refuses in recovery", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					f.down["dn0:1"], f.down["dn2:1"] = true, true
					return []byte{}
				}
				return nil
			}
		}, 1, nil},
		{"answers of the NameNode are lost", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					return []byte{}
				}
				return nil
			}
			f.lose = func(method string, try int) bool { return try%2 == 0 }
		}, 2, nil},
		{"the NameNode restarts in the recovery", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte {
				if p == 0 && k.off > 1000 {
					f.down["nn1:1"], f.down["nn2:1"] = true, true
					time.AfterFunc(5*time.Minute, func() {
						f.mu.Lock()
						defer f.mu.Unlock()
						f.down["nn2:1"], f.active = false, 1
					})
					return []byte{}
				}
				return nil
			}
			f.lose = func(method string, try int) bool { return f.down["nn1:1"] && f.active == 0 }
		}, 2, nil},
		{"safe mode", func(f *fake) {
			f.refuse = func(method string, try int) error {
				if method == "addBlock" && try < 3 {
					return &RemoteError{Class: "org.apache.hadoop.hdfs.server.namenode.SafeModeException", Message: "starting"}
				}
				return nil
			}
		}, 3, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				test.arrange(f)
				c := f.open(Options{})
				w, err := c.Create(t.Context(), "/file", CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				want := text(10000)
				for at := 0; at < len(want); {
					n := min(700, len(want)-at)
					if k, err := w.Write(short(t, time.Hour), want[at:at+n]); k != n || err != nil {
						t.Fatal(k, err)
					}
					at += n
					if err := w.Flush(short(t, time.Hour), Hflush); err != nil {
						t.Fatal(err)
					}
					if w.Acked() != int64(at) {
						t.Errorf("%d of %d acknowledged", w.Acked(), at)
					}
					if got := f.bytes(); !bytes.Equal(got, want[:at]) {
						t.Fatalf("%d bytes of %d are there, or others", len(got), at)
					}
				}
				if w.Replicas() != test.nodes {
					t.Errorf("%d nodes in the end", w.Replicas())
				}
				if err := w.Close(short(t, time.Hour)); err != nil {
					t.Fatal(err)
				}
				if !f.complete || !bytes.Equal(f.bytes(), want) {
					t.Error("the file is not whole")
				}
				if test.want != nil {
					if err := test.want(f); err != nil {
						t.Error(err)
					}
				}
				c.Close()
			})
		})
	}
}

// TestLost has the faults that end a file.
func TestLost(t *testing.T) {
	for _, test := range []struct {
		name, want string
		arrange    func(f *fake)
	}{
		{"all nodes go", "no DataNode of its last block is left", func(f *fake) {
			f.acks = func(p int, k fakePacket) []byte { return []byte{} }
		}},
		{"refused", "quota", func(f *fake) {
			f.refuse = func(method string, try int) error {
				if method == "addBlock" {
					return &RemoteError{Class: "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", Message: "quota"}
				}
				return nil
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				test.arrange(f)
				c := f.open(Options{})
				w, err := c.Create(t.Context(), "/file", CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				w.Write(t.Context(), text(100))
				if err := w.Flush(short(t, time.Hour), Hflush); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), test.want) {
					t.Error(err)
				}
				if _, err := w.Write(t.Context(), text(100)); !errors.Is(err, ErrLost) {
					t.Error(err)
				}
				if err := w.Close(t.Context()); !errors.Is(err, ErrLost) {
					t.Error(err)
				}
				w.Abandon()
				c.Close()
			})
		})
	}
}

// TestLateCall makes calls whose time is up while the nodes are silent. The file is none the worse for it.
func TestLateCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.silent = make(chan struct{})
		f.acks = func(p int, k fakePacket) []byte {
			if k.off == 0 {
				return []byte("silent")
			}
			return nil
		}
		c := f.open(Options{})
		w, err := c.Create(t.Context(), "/file", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := text(3000)
		w.Write(t.Context(), want[:1000])
		for range 3 {
			began := time.Now()
			if err := w.Flush(short(t, time.Second), Hflush); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Error(err, time.Since(began))
			}
		}
		w.Write(t.Context(), want[1000:])
		if err := w.Close(short(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(f.silent)
		if err := w.Flush(t.Context(), Hflush); err != nil {
			t.Error(err)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(f.bytes(), want) || len(f.pipelines) != 1 {
			t.Errorf("%d bytes by %q", len(f.bytes()), f.pipelines)
		}
		c.Close()
	})
}

// TestIdle leaves a file open: its pipeline hears from it, and when a node goes the others take over by themselves.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		beats := 0
		f.acks = func(p int, k fakePacket) []byte {
			if k.seq == heartbeat {
				if beats++; beats == 20 {
					return []byte{}
				}
			}
			return nil
		}
		c := f.open(Options{})
		w, err := c.Create(t.Context(), "/file", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t.Context(), text(10))
		if err := w.Flush(t.Context(), Hsync); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9*time.Minute + 59*time.Second)
		synctest.Wait()
		if beats != 19 || f.count("renewLease") < 29 {
			t.Errorf("%d heartbeats, %d renewals", beats, f.count("renewLease"))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.Replicas() != 2 || f.count("updatePipeline") != 1 {
			t.Errorf("%d nodes after %d recoveries", w.Replicas(), f.count("updatePipeline"))
		}
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := f.count("renewLease")
		time.Sleep(10 * time.Minute)
		if f.count("renewLease") != n {
			t.Error("the lease is renewed without open files")
		}
		c.Close()
	})
}

// TestTopUp loses a node when there is no other, and gets one when there is, though nothing is written.
func TestTopUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.acks = func(p int, k fakePacket) []byte {
			if p == 0 && k.off > 0 {
				return []byte{}
			}
			return nil
		}
		c := f.open(Options{})
		w, err := c.Create(t.Context(), "/file", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w.Write(t.Context(), text(600))
			if err := w.Flush(t.Context(), Hflush); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Hour)
		if n := f.count("getAdditionalDatanode"); w.Replicas() != 2 || n < 10 || n > 60 {
			t.Errorf("%d nodes, asked %d times for more", w.Replicas(), n)
		}
		f.mu.Lock()
		f.spare = []int{4}
		f.mu.Unlock()
		time.Sleep(6 * time.Minute)
		if w.Replicas() != 3 || len(f.pipelines) != 3 {
			t.Errorf("%d nodes, pipelines %q", w.Replicas(), f.pipelines)
		}
		w.Write(t.Context(), text(10))
		if err := w.Close(t.Context()); err != nil || !bytes.Equal(f.bytes(), append(append(text(600), text(600)...), text(10)...)) {
			t.Error(err)
		}
		c.Close()
	})
}

// TestBounded fills what files together may have under way: the next one waits, and goes on.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.silent = make(chan struct{})
		f.acks = func(p int, k fakePacket) []byte { return []byte("silent") }
		c := f.open(Options{})
		c.budget = newBudget(4096)
		a, err := c.Create(t.Context(), "/a", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a.Write(t.Context(), text(4096))
		if err := a.Flush(short(t, time.Second), Hflush); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		b, err := c.Create(t.Context(), "/b", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(t.Context(), text(10))
		if err := b.Flush(short(t, time.Second), Hflush); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if b.(*writer).queue != nil {
			t.Error("more is under way than there may be")
		}
		a.Abandon()
		close(f.silent)
		if err := b.Flush(t.Context(), Hflush); err != nil {
			t.Error(err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if c.budget.left != 4096 {
			t.Errorf("%d bytes are left", c.budget.left)
		}
		c.Close()
	})
}

// TestSync tells the DataNodes to sync what was not synced, and nothing twice.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var got []string
		f.acks = func(p int, k fakePacket) []byte {
			got = append(got, fmt.Sprintf("%d+%d %v %v", k.off, len(k.data), k.sync, k.last))
			return nil
		}
		c := f.open(Options{})
		w, err := c.Create(t.Context(), "/file", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		step := func(n int, d Durability) {
			if _, err := w.Write(t.Context(), text(n)); err != nil {
				t.Error(err)
			}
			if err := w.Flush(t.Context(), d); err != nil {
				t.Error(err)
			}
		}
		step(0, Hsync)
		step(10, Hflush)
		step(0, Hflush)
		step(0, Hsync)
		step(0, Hsync)
		step(600, Hsync)
		step(0, Hsync)
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := "0+10 false false 10+0 true false 0+610 true false 610+0 true true"
		if g := strings.Join(got, " "); g != want {
			t.Errorf("packets %s, want %s", g, want)
		}
		c.Close()
	})
}

// TestReading reads from another node what one has wrongly, or not at all.
func TestReading(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  string // nodes
		down string
		want bool
	}{{"all well", "", "", true}, {"one wrong", "dn0:1", "", true}, {"one wrong, one gone", "dn1:1", "dn0:1", true}, {"all wrong", "dn0:1dn1:1dn2:1", "", false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				c := f.open(Options{})
				w, err := c.Create(t.Context(), "/file", CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				want := text(9000)
				w.Write(t.Context(), want)
				if err := w.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.mu.Lock()
				f.down[test.down] = true
				f.reading = func(node string, b []byte) []byte {
					if strings.Contains(test.bad, node) {
						b[len(b)/2]++
					}
					return b
				}
				f.mu.Unlock()
				for _, offset := range []int64{0, 1, 511, 4095, 4096, 8999, 9000} {
					r, err := c.Open(t.Context(), "/file", offset)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(r)
					r.Close()
					switch {
					case test.want && (err != nil || !bytes.Equal(got, want[offset:])):
						t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
					case !test.want && offset == 0 && (err == nil || !strings.Contains(err.Error(), "checksum")):
						t.Errorf("from %d: %v", offset, err)
					case !bytes.HasPrefix(want[offset:], got):
						t.Errorf("from %d: wrong bytes", offset)
					}
				}
				c.Close()
			})
		})
	}
}

// TestNameNodes has NameNodes that are gone, stand by or are silent.
func TestNameNodes(t *testing.T) {
	for _, test := range []struct {
		name    string
		arrange func(f *fake)
		limit   time.Duration
		err     string
	}{
		{"first active", func(f *fake) {}, time.Second, ""},
		{"second active", func(f *fake) { f.active = 1 }, time.Second, ""},
		{"first gone", func(f *fake) { f.active = 1; f.down["nn1:1"] = true }, time.Second, ""},
		{"both gone", func(f *fake) { f.down["nn1:1"], f.down["nn2:1"] = true, true }, 31 * time.Second, "connection refused"},
		{"both stand by", func(f *fake) { f.active = 2 }, 31 * time.Second, "StandbyException: not me"},
		{"retriable", func(f *fake) {
			f.refuse = func(_ string, try int) error {
				if try < 3 {
					return &RemoteError{Class: "org.apache.hadoop.ipc.RetriableException"}
				}
				return nil
			}
		}, 2 * time.Second, ""},
		{"refused", func(f *fake) {
			f.refuse = func(string, int) error {
				return &RemoteError{Class: "org.apache.hadoop.security.AccessControlException", Message: "Permission denied: user=flume\n\tat java.lang.Thread"}
			}
		}, time.Second, "renaming /a to /b: rename2: AccessControlException: Permission denied: user=flume"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				test.arrange(f)
				c := f.open(Options{})
				began := time.Now()
				err := c.Rename(t.Context(), "/a", "/b")
				if took := time.Since(began); took > test.limit {
					t.Errorf("it took %v", took)
				}
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
					t.Error(err)
				}
				c.Close()
				if err := c.Rename(t.Context(), "/a", "/b"); err == nil {
					t.Error("a closed client does calls")
				}
			})
		})
	}
}

// TestNoReplica reads a block that no DataNode has.
func TestNoReplica(t *testing.T) {
	r := reader{ctx: t.Context(), path: "/file", length: 1, blocks: []located{{block: block{id: 7, length: 1}}}}
	if _, err := r.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "block 7 from none of 0 DataNodes") {
		t.Error(err)
	}
}
