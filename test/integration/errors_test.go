//go:build interop

package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/test/harness"
)

// healthy is a flow that must run beside every broken one.
const healthy = `
a1.sources.good.type = seq
a1.sources.good.totalEvents = 1000
a1.sources.good.channels = c9
a1.channels.c9.type = memory
a1.sinks.drain.type = null
a1.sinks.drain.channel = c9
`

// What a user gets wrong is said once and clearly, and the rest of the agent runs where Flume's would.
func TestOneFlowBroken(t *testing.T) {
	if stage.StandIn {
		t.Skip("about Sluice's messages")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	closed := stage.Port(t)
	for _, c := range []struct {
		name, lists, broken string
		says                []string // all in one line of the log
		atLine              string   // the line of the file that is named, by its text
	}{
		{
			name: "missing channel", lists: "r1 good|c9|drain",
			broken: "a1.sources.r1.type = seq\na1.sources.r1.channels = c7\n",
			says:   []string{"c7"}, atLine: "a1.sources.r1.channels",
		},
		{
			name: "sink without a channel", lists: "good|c9|k1 drain",
			broken: "a1.sinks.k1.type = logger\na1.sinks.k1.channel = c7\n",
			says:   []string{"c7"}, atLine: "a1.sinks.k1.channel",
		},
		{
			name: "unknown type", lists: "r1 good|c1 c9|drain",
			broken: "a1.sources.r1.type = netcatt\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n",
			says:   []string{"netcatt", `"netcat"`}, atLine: "a1.sources.r1.type",
		},
		{
			name: "port in use", lists: "r1 good|c1 c9|drain",
			broken: fmt.Sprintf("a1.sources.r1.type = avro\na1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = %d\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n", port),
			says:   []string{"r1", strconv.Itoa(port), "in use"},
		},
		{
			name: "unreachable broker of a source", lists: "r1 good|c1 c9|drain",
			broken: fmt.Sprintf("a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource\na1.sources.r1.kafka.bootstrap.servers = 127.0.0.1:%d\n"+
				"a1.sources.r1.kafka.topics = t\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n", closed),
			says: []string{"r1", fmt.Sprintf("127.0.0.1:%d", closed)},
		},
		{
			name: "unreachable broker of a sink", lists: "r1 good|c1 c9|k1 drain",
			broken: fmt.Sprintf("a1.sources.r1.type = seq\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n"+
				"a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.kafka.bootstrap.servers = 127.0.0.1:%d\na1.sinks.k1.channel = c1\n", closed),
			says: []string{"k1", fmt.Sprintf("127.0.0.1:%d", closed)},
		},
		{
			name: "unreachable next hop", lists: "r1 good|c1 c9|k1 drain",
			broken: fmt.Sprintf("a1.sources.r1.type = seq\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n"+
				"a1.sinks.k1.type = avro\na1.sinks.k1.hostname = 127.0.0.1\na1.sinks.k1.port = %d\na1.sinks.k1.channel = c1\n", closed),
			says: []string{"k1", strconv.Itoa(closed)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			lists := strings.Split(c.lists, "|")
			text := fmt.Sprintf("a1.sources = %s\na1.channels = %s\na1.sinks = %s\n%s%s", lists[0], lists[1], lists[2], c.broken, healthy)
			a := stage.Agent(t, harness.Sluice, "a1", "a1", harness.Conf(text))
			a.Options = []string{"--stop-timeout", "1"} // nobody will take what the broken flow holds
			a.Start(t)
			time.Sleep(7 * time.Second) // two or three attempts
			if v, err := a.Metric("CHANNEL.c9", "EventTakeSuccessCount"); err != nil || v != "1000" {
				t.Errorf("the healthy flow: %q events, %v", v, err)
			}
			says := c.says
			if c.atLine != "" {
				for i, line := range strings.Split(text, "\n") {
					if strings.HasPrefix(line, c.atLine) {
						says = append(says, fmt.Sprintf("%s:%d:", a.File, i+1))
					}
				}
			}
			var about []string
			log := a.Log(t)
			for line := range strings.Lines(log) {
				all := true
				for _, word := range says {
					all = all && strings.Contains(line, word)
				}
				if all {
					about = append(about, line)
				}
			}
			if len(about) == 0 {
				t.Errorf("no line has all of %q:\n%s", says, log)
			} else if len(about) > 3 {
				t.Errorf("%d lines about the same:\n%s", len(about), strings.Join(about, ""))
			}
			a.Stop(t)
		})
	}
	t.Run("the port becomes free", func(t *testing.T) {
		text := fmt.Sprintf("a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = avro\na1.sources.r1.bind = 127.0.0.1\n"+
			"a1.sources.r1.port = %d\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n", port)
		a := stage.Agent(t, harness.Sluice, "a1", "a1", harness.Conf(text))
		a.Start(t)
		taken.Close()
		harness.Eventually(t, 15*time.Second, "the source on its port", func() error {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return err
			}
			return conn.Close()
		})
		a.Stop(t)
	})
}

// What keeps the whole agent from running ends it with a message and a status.
func TestNothingRuns(t *testing.T) {
	if stage.StandIn {
		t.Skip("about Sluice's messages")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.conf", "a1.sources = good\na1.channels = c9\na1.sinks = drain\n"+healthy)
	empty := file("empty.conf", "")
	comments := file("comments.conf", "# nothing\n")
	broken := file("broken.conf", "a1.sources = r1\na1.sources.r1.type = nothing\na1.sources.r1.channels = c1\n")
	absent := filepath.Join(dir, "absent.conf")
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"wrong agent name", []string{"agent", "-n", "a2", "-f", good}, []string{`"a2"`, `"a1"`, good}},
		{"no agent name", []string{"agent", "-f", good}, []string{"-n"}},
		{"no file", []string{"agent", "-n", "a1"}, []string{"-f"}},
		{"unreadable file", []string{"agent", "-n", "a1", "-f", absent}, []string{absent, "no such file"}},
		{"a directory", []string{"agent", "-n", "a1", "-f", dir}, []string{dir, "directory"}},
		{"empty file", []string{"agent", "-n", "a1", "-f", empty}, []string{empty, "no settings"}},
		{"only comments", []string{"agent", "-n", "a1", "-f", comments}, []string{comments, "no settings"}},
		{"nothing can run", []string{"agent", "-n", "a1", "-f", broken}, []string{broken + ":2:", "nothing"}},
		{"unknown option", []string{"agent", "-n", "a1", "--frobnicate", "-f", good}, []string{"frobnicate"}},
		{"unknown command", []string{"agnet", "-n", "a1", "-f", good}, []string{"agnet"}},
		{"check of an absent file", []string{"check", absent}, []string{absent}},
		{"check of an empty file", []string{"check", empty}, []string{empty}},
		{"strict", []string{"agent", "-n", "a1", "--strict", "-f", file("warned.conf", "a1.sources = good\na1.channels = c9\na1.sinks = drain\na1.sinks.drain.batchsize = 7\n"+healthy)}, []string{"batchsize", `"batchSize"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if args[0] == "agent" {
				args = append(args, "-Dflume.root.logger=INFO,console")
			}
			r := stage.Sluice(t, 10*time.Second, nil, args...)
			if r.Status == 0 {
				t.Errorf("status 0\n%s", r.Output)
			}
			for _, word := range c.says {
				if !strings.Contains(r.Output, word) {
					t.Errorf("the message does not say %q:\n%s", word, r.Output)
				}
			}
			if regexp.MustCompile(`panic:|BUG:|goroutine \d`).MatchString(r.Output) {
				t.Errorf("it crashed:\n%s", r.Output)
			}
		})
	}
}

// check finds the user's own mistakes in the two files, and the loop in a variant, and no loop in the files.
func TestCheckNamesHazards(t *testing.T) {
	if stage.StandIn {
		t.Skip("about Sluice's messages")
	}
	dir := t.TempDir()
	write := func(name string, c harness.Conf) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b := write("a.conf", harness.TextA()), write("b.conf", harness.TextB())
	r := stage.Sluice(t, 10*time.Second, nil, "check", a, b)
	for _, line := range []string{
		a + `:19: kafka-memory-avro.channels.c1.checkpontDir: .*"checkpointDir"`,
		b + `.*default-flume-topic`,
	} {
		if !regexp.MustCompile(line).MatchString(r.Output) {
			t.Errorf("check does not say %q:\n%s", line, r.Output)
		}
	}
	if strings.Contains(r.Output, "loop") {
		t.Errorf("check sees a loop that is none:\n%s", r.Output)
	}
	looping := write("loop.conf", harness.TextA().Drop(harness.SourceA+"interceptors"))
	r = stage.Sluice(t, 10*time.Second, nil, "check", looping, b)
	if !strings.Contains(r.Output, "loop") || r.Status == 0 {
		t.Errorf("check does not see the loop, status %d:\n%s", r.Status, r.Output)
	}
}
