//go:build interop

package compat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/avrorpc"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/test/harness"
)

// syslogZone is the time zone of both agents.
const syslogZone = "America/New_York"

// A syslogLane is a source that runs in both agents, and what is sent to it.
type syslogLane struct {
	name  string
	udp   bool
	conf  map[string]string // of the source in both; {port} is its port
	ours  map[string]string // of Sluice's only
	cases []syslogCase
	// tidy, if not nil, changes what Flume makes of a case into what Sluice has to make of it.
	tidy func(c syslogCase, flumes, ours []flume.Event) []flume.Event
}

// A syslogCase is what one connection sends, or one sender of datagrams.
type syslogCase struct {
	name string
	sent []string
}

// address is whence a case is sent, so that its events are known by clientIPHeader.
func (syslogLane) address(n int) string { return fmt.Sprintf("127.10.%d.%d", n/250, n%250+1) }

// syslogSender is the header that says so.
const syslogSender = "compat.sender"

// A syslogSink is where both agents send to.
type syslogSink struct {
	mu     sync.Mutex
	events map[string][]flume.Event // by lane and sender
	last   atomic.Int64
}

func (s *syslogSink) Append(ctx context.Context, b flume.Batch) error { return s.AppendBatch(ctx, b) }

func (s *syslogSink) AppendBatch(_ context.Context, b flume.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Store(time.Now().UnixNano())
	for _, e := range b {
		lane, _ := e.Headers.Get("compat.lane")
		sender, _ := e.Headers.Get(syslogSender)
		if ip, port, ok := strings.Cut(strings.TrimPrefix(sender, "/"), ":"); ok && len(port) > 3 { // netcatudp's
			sender = ip
		}
		e.Headers = slices.Clone(e.Headers)
		e.Headers.Delete("compat.lane")
		e.Headers.Delete(syslogSender)
		s.events[lane+" "+sender] = append(s.events[lane+" "+sender], flume.Event{Headers: e.Headers, Body: slices.Clone(e.Body)})
	}
	return nil
}

func (s *syslogSink) listen(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	server := &avrorpc.Server{Calls: s, MaxFrame: 64 << 20, Budget: rpc.NewBudget(256 << 20)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = server.Serve(context.Background(), context.Background(), conn) }() // it ends with its agent
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// runSyslog runs the lanes in real Flume or in Sluice and returns what came out of each case.
func runSyslog(t *testing.T, real bool, lanes []syslogLane) *syslogSink {
	t.Helper()
	dir := t.TempDir()
	sink := &syslogSink{events: map[string][]flume.Event{}}
	var conf strings.Builder
	set := func(key, value string) { fmt.Fprintf(&conf, "a1.%s = %s\n", key, value) }
	set("channels", "c1")
	set("channels.c1.type", "memory")
	set("channels.c1.capacity", "100000")
	set("channels.c1.transactionCapacity", "1000")
	set("channels.c1.keep-alive", "0") // a sink waits that long for a full batch
	set("sinks", "k1")
	set("sinks.k1.type", "avro")
	set("sinks.k1.channel", "c1")
	set("sinks.k1.hostname", "127.0.0.1")
	set("sinks.k1.port", strconv.Itoa(sink.listen(t)))
	set("sinks.k1.batch-size", "100")
	var names []string
	ports := make([]int, len(lanes))
	for n, l := range lanes {
		ports[n] = freeSyslogPort(t, l.udp)
		name := "s" + strconv.Itoa(n)
		names = append(names, name)
		source := "sources." + name + "."
		set(source+"channels", "c1")
		set(source+"interceptors", "i")
		set(source+"interceptors.i.type", "static")
		set(source+"interceptors.i.key", "compat.lane")
		set(source+"interceptors.i.value", l.name)
		for key, value := range l.conf {
			set(source+key, strings.ReplaceAll(value, "{port}", strconv.Itoa(ports[n])))
		}
		if !real {
			for key, value := range l.ours {
				set(source+key, value)
			}
		}
	}
	set("sources", strings.Join(names, " "))
	file := filepath.Join(dir, "a1.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	var cmd *exec.Cmd
	if real {
		cmd = exec.Command(filepath.Join(root, "test", "peers", "peers"), "flume", "run", "--conf", file, "--name", "a1", "-Dfile.encoding=UTF-8")
	} else {
		binary := filepath.Join(dir, "sluice")
		build := exec.Command("go", "build", "-o", binary, "./cmd/sluice")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building: %v\n%s", err, out)
		}
		cmd = exec.Command(binary, "agent", "-n", "a1", "-f", file, "--data-dir", filepath.Join(dir, "data"))
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "TZ="+syslogZone)
	cmd.SysProcAttr = harness.EndsWithTest(false)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text[max(0, len(text)-5000):])
		}
	}()
	for n, l := range lanes {
		reachSyslog(t, l, ports[n])
	}
	for n, l := range lanes {
		for i, c := range l.cases {
			sendSyslog(t, l, ports[n], i, c)
		}
	}
	sink.last.CompareAndSwap(0, time.Now().UnixNano())
	// A sink that found nothing sleeps for up to five seconds.
	for end := time.Now().Add(time.Minute); time.Since(time.Unix(0, sink.last.Load())) < 7*time.Second && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	return sink
}

// freeSyslogPort finds a port that is no client's: a connection may be made between this and the start of an agent.
func freeSyslogPort(t *testing.T, udp bool) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		address := fmt.Sprintf(":%d", port)
		if udp {
			if l, err := net.ListenPacket("udp", address); err == nil {
				l.Close()
				return port
			}
		} else if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// reachSyslog waits until a source listens.
func reachSyslog(t *testing.T, l syslogLane, port int) {
	t.Helper()
	// A sink that found nothing sleeps for up to five seconds.
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if l.udp {
			for _, name := range []string{"/proc/net/udp", "/proc/net/udp6"} {
				table, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(table), fmt.Sprintf(":%04X 0000", port)) {
					return
				}
			}
		} else if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("lane %s does not listen", l.name)
		}
	}
}

func sendSyslog(t *testing.T, l syslogLane, port, n int, c syslogCase) {
	t.Helper()
	ip := net.ParseIP(l.address(n))
	to := fmt.Sprintf("127.0.0.1:%d", port)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	network := "tcp"
	if l.udp {
		network, d.LocalAddr = "udp", &net.UDPAddr{IP: ip}
	}
	conn, err := d.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) // Flume loses messages whose connection is closed before it gets to them
	for i, text := range c.sent {
		if i > 0 {
			time.Sleep(time.Millisecond) // so that it is mostly read by itself
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if l.udp {
		time.Sleep(time.Millisecond)
	}
}
