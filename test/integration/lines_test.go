//go:build interop

package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// netcat, syslogudp and netcatudp beside idle connections, garbage, lines without an end, clients that send a byte a
// second, and floods of datagrams.
func TestLinesUnderSiege(t *testing.T) {
	if stage.StandIn {
		t.Skip("it says what Sluice promises")
	}
	tcp, syslog, udp := stage.Port(t), stage.Port(t), stage.Port(t)
	out := t.TempDir()
	const c, k = "l1.channels.c1.", "l1.sinks.k1."
	conf := harness.Conf("l1.sources = n1 u1 u2\nl1.channels = c1\nl1.sinks = k1\n").
		Set(c+"type", "memory").Set(c+"capacity", "100000").Set(c+"transactionCapacity", "1000").
		Set(k+"type", "file_roll").Set(k+"channel", "c1").Set(k+"sink.directory", out).Set(k+"sink.rollInterval", "0").Set(k+"sink.batchSize", "1000").
		Set("l1.sources.n1.max-connections", "20000")
	for name, x := range map[string]struct {
		typ  string
		port int
	}{"n1": {"netcat", tcp}, "u1": {"syslogudp", syslog}, "u2": {"netcatudp", udp}} {
		s := "l1.sources." + name + "."
		host := "bind"
		if x.typ == "syslogudp" {
			host = "host"
		}
		conf = conf.Set(s+"type", x.typ).Set(s+host, "127.0.0.1").Set(s+"port", fmt.Sprint(x.port)).Set(s+"channels", "c1")
	}
	agent := stage.Agent(t, harness.Sluice, "l1", "l", conf)
	agent.Start(t)
	resident := func() int64 {
		n, err := harness.Resident(agent.PID())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	connect := func() net.Conn {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", tcp))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	serves := func(when string) {
		t.Helper()
		began := time.Now()
		conn := connect()
		defer conn.Close()
		in := bufio.NewReader(conn)
		for i := range 100 {
			if _, err := fmt.Fprintf(conn, "line %d\n", i); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			if answer, err := in.ReadString('\n'); answer != "OK\n" {
				t.Fatalf("%s: %q, %v", when, answer, err)
			}
		}
		within(t, "100 lines "+when, time.Since(began).Seconds(), 10, "s")
	}
	serves("at first")
	atFirst := resident()

	const idle = 10_000
	for range idle {
		connect()
	}
	serves("beside idle connections")
	each := (resident() - atFirst) / idle
	within(t, "an idle connection", float64(each)/1024, 30, "KB")

	var garbage sync.WaitGroup
	for range 100 {
		for _, text := range []string{"\xff\xfe\xfd\n", strings.Repeat("x", 1<<20), "\x16\x03\x01\x02\x00\x01", "half of a character \xc3"} {
			conn := connect()
			garbage.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, text) // the source may close the connection at any time
				if half, ok := conn.(*net.TCPConn); ok {
					_ = half.CloseWrite() // what it has closed already is closed
				}
				// What is text is a line when the client has ended, whatever it may have meant.
				if answer, _ := io.ReadAll(conn); text[0] != '\x16' && text[0] != 'h' && strings.Contains(string(answer), "OK") {
					t.Errorf("%.10q is answered with %q", text, answer)
				}
			})
		}
	}
	garbage.Wait()
	end := halves(connect, func(int) []byte { return []byte("half a line") }, 'x', func() { serves("beside half lines") })

	// The datagrams come as fast as two senders can; what the kernel has no room for is lost, and said.
	began := time.Now()
	const flood = 200_000
	for _, port := range []int{syslog, udp} {
		garbage.Go(func() {
			conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			pieces := []string{"<13>short\n", "", "\x00\xff\xfe", "<999999999999>", strings.Repeat("y", 60_000), strings.Repeat("\n", 8000), "<13>1 - - - - - [\n"}
			for i := range flood / len(pieces) {
				for _, p := range pieces {
					if len(p) > 1000 && i%100 > 0 {
						continue
					}
					_, _ = io.WriteString(conn, p) // a full socket is what is tried
				}
			}
		})
	}
	garbage.Wait()
	serves("beside floods of datagrams")
	for _, x := range []struct {
		port int
		text string
	}{{syslog, "<13>served by syslogudp\n"}, {udp, "served by netcatudp\n"}} {
		conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", x.port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mark := strings.TrimPrefix(strings.TrimSpace(x.text), "<13>")
		for end := time.Now().Add(30 * time.Second); !written(t, out, mark); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%q does not come after a flood", mark)
			}
			if _, err := io.WriteString(conn, x.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, "a flood and what comes behind it", time.Since(began).Seconds(), 120, "s")
	within(t, "resident memory", float64(resident())/(1<<20), float64(atFirst)/(1<<20)+idle*30./1024+100, "MiB")
	end()
	log := agent.Log(t)
	saidOnce(t, log, "the line is longer than max-line-length", "the bytes are no characters")
	for _, level := range []string{" ERROR ", " WARN "} {
		if n := strings.Count(log, level); n > 12 || level == " ERROR " && n > 0 {
			t.Errorf("%d lines of%s:\n%s", n, level, log)
		}
	}
	stage.Proof(t, "%d idle connections cost %d bytes each; %d MiB resident in the end", idle, each, resident()>>20)
}

// written reports whether one of the files in a directory has a text.
func written(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(all), text) {
			return true
		}
	}
	return false
}
