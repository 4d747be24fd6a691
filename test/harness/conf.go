package harness

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The two files of a user, as they are.
var (
	//go:embed testdata/kafka-memory-avro.conf
	userA string
	//go:embed testdata/avro-memory-kafka.conf
	userB string
)

// Names in the user's two files.
const (
	AgentA      = "kafka-memory-avro"
	AgentB      = "avro-memory-kafka"
	InputTopic  = "test3"
	OutputTopic = "test2"
	Group       = "test-consumer-group"
	SourceA     = AgentA + ".sources.s1."
	SinkA       = AgentA + ".sinks.k1."
	ChannelA    = AgentA + ".channels.c1."
	SourceB     = AgentB + ".sources.avro-source."
	SinkB       = AgentB + ".sinks.kafka-sink."
	ChannelB    = AgentB + ".channels.memory-channel."
)

// Conf is the text of a configuration file.
type Conf string

// Set gives a key a value: in its line where it has one, else in a line at the end.
func (c Conf) Set(key, value string) Conf {
	lines := strings.Split(string(c), "\n")
	for i, line := range lines {
		if k, _, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == key {
			lines[i] = key + " = " + value
			return Conf(strings.Join(lines, "\n"))
		}
	}
	return Conf(strings.TrimRight(string(c), "\n") + "\n" + key + " = " + value + "\n")
}

// SetAll sets several keys that begin alike.
func (c Conf) SetAll(prefix string, all [][2]string) Conf {
	for _, kv := range all {
		c = c.Set(prefix+kv[0], strings.ReplaceAll(kv[1], `\`, `\\`)) // the file is a Java properties file
	}
	return c
}

// UserA is the user's first file with addresses and directories of this stage.
func (s *Stage) UserA(port int) Conf {
	return s.channel(Conf(userA), ChannelA, "checkpontDir", "flume-file-checkpoint", "flme-file/data").
		Set(SourceA+"kafka.bootstrap.servers", s.Broker.Plain).
		Set(SinkA+"port", fmt.Sprint(port))
}

// UserB is the user's second file with addresses and directories of this stage.
func (s *Stage) UserB(port int) Conf {
	return s.channel(Conf(userB), ChannelB, "checkpointDir", "flume-file-checkpoint", "flume-file-data").
		Set(SinkB+"brokerList", s.Broker.Plain).
		Set(SourceB+"port", fmt.Sprint(port))
}

// channel makes it a memory channel, or puts the file channel's directories into the stage's. The misspelt key stays
// misspelt: so a second one has to say where the checkpoint goes.
func (s *Stage) channel(c Conf, channel, checkpointKey, checkpoint, data string) Conf {
	if !s.FileChannel {
		return c.Set(channel+"type", "memory")
	}
	c = c.Set(channel+checkpointKey, filepath.Join(s.Dir, checkpoint)).Set(channel+"dataDirs", filepath.Join(s.Dir, data))
	return c.Set(channel+"checkpointDir", filepath.Join(s.Dir, strings.TrimSuffix(channel, ".")+"-checkpoint"))
}

// FreshChannels removes what file channels of earlier runs have left.
func (s *Stage) FreshChannels(t testing.TB) {
	t.Helper()
	for _, dir := range []string{
		"flume-file-checkpoint", "flme-file", "flume-file-data",
		strings.TrimSuffix(ChannelA, ".") + "-checkpoint", strings.TrimSuffix(ChannelB, ".") + "-checkpoint",
	} {
		if err := os.RemoveAll(filepath.Join(s.Dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// TextA is the user's first file as it is.
func TextA() Conf { return Conf(userA) }

// TextB is the user's second file as it is.
func TextB() Conf { return Conf(userB) }

// Drop removes the lines of all keys that begin so.
func (c Conf) Drop(prefix string) Conf {
	var kept []string
	for _, line := range strings.Split(string(c), "\n") {
		if !strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return Conf(strings.Join(kept, "\n"))
}
