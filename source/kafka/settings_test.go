package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

func TestProblems(t *testing.T) {
	const brokers, topics = "kafka.bootstrap.servers", "kafka.topics"
	for name, c := range map[string]struct {
		settings []string
		want     []string
	}{
		"fine":           {[]string{brokers, "b:9092", topics, "t1, t2"}, nil},
		"nothing":        {nil, []string{"error: kafka.bootstrap.servers: is required and not set", "error: kafka.topics: is not set, nor is kafka.topics.regex"}},
		"old names":      {[]string{brokers, "b:9092", "topic", "t", "groupId", "g"}, []string{`flume.conf:2: a1.components.x1.topic: is an old name of "kafka.topics"`, `flume.conf:3: a1.components.x1.groupId: is an old name of "kafka.consumer.group.id"`}},
		"ZooKeeper":      {[]string{brokers, "b:9092", topics, "t", "zookeeperConnect", "z:2181"}, []string{"flume.conf:3: a1.components.x1.zookeeperConnect: is not used: kafka.bootstrap.servers names the brokers, and offsets that Flume kept in ZooKeeper are not taken over"}},
		"no migration":   {[]string{brokers, "b:9092", topics, "t", "zookeeperConnect", "z:2181", "migrateZookeeperOffsets", "false"}, []string{"is not used: kafka.bootstrap.servers names the brokers"}},
		"only ZooKeeper": {[]string{"zookeeperConnect", "z:2181", topics, "t"}, []string{"error: flume.conf:1: a1.components.x1.zookeeperConnect: no longer finds the brokers; add kafka.bootstrap.servers = HOST:9092"}},
		"bad topic":      {[]string{brokers, "b:9092", topics, "t 1,t2"}, []string{`error: kafka.topics: "t 1" is no topic`}},
		"no topic":       {[]string{brokers, "b:9092", topics, " , "}, []string{"error: kafka.topics: names no topic"}},
		"bad regex":      {[]string{brokers, "b:9092", "kafka.topics.regex", "t[0"}, []string{`error: kafka.topics.regex: "t[0" is not a regular expression`}},
		"Java's regex":   {[]string{brokers, "b:9092", "kafka.topics.regex", "t(?!x)"}, []string{`error: kafka.topics.regex: "t(?!x)" is not`}},
		"bad broker":     {[]string{brokers, "http://b", topics, "t"}, []string{`error: kafka.bootstrap.servers: "http://b" is not host:port`}},
		"bad number":     {[]string{brokers, "b:9092", topics, "t", "batchSize", "x"}, []string{`error: batchSize: "x" is not a number`}},
		"near misses": {[]string{brokers, "b:9092", topics, "t", "kafka.group.id", "g", "kafka.consumer.timeout.ms", "100", "kafka.consumer.max.poll.records", "5"}, []string{
			"a1.components.x1.kafka.consumer.timeout.ms: has no effect", "a1.components.x1.kafka.consumer.max.poll.records: has no effect", "a1.components.x1.kafka.group.id: is not a setting",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := Kind.Bind(section(t, c.settings...))
			if len(problems) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(c.want), problems)
			}
			for i, w := range c.want {
				w, fatal := strings.CutPrefix(w, "error: ")
				if got := problems[i]; !strings.Contains(got.String(), w) || (got.Severity == conf.Fatal) != fatal {
					t.Errorf("got %v: %v\nwant %q", got.Severity, got, w)
				}
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		received flume.Known
		want     string
	}{
		"plain":           {nil, flume.Known{"x": "1"}, "map[kafka://b:9092/t1:map[topic:t1] kafka://b:9092/t2:map[topic:t2] kafka://c:1/t1:map[topic:t1] kafka://c:1/t2:map[topic:t2]]"},
		"another header":  {[]string{"topicHeader", "from", "kafka.topics", "t1"}, nil, "map[kafka://b:9092/t1:map[from:t1] kafka://c:1/t1:map[from:t1]]"},
		"no header":       {[]string{"setTopicHeader", "false", "kafka.topics", "t1"}, nil, "map[kafka://b:9092/t1:map[] kafka://c:1/t1:map[]]"},
		"Flume's format":  {[]string{"useFlumeEventFormat", "true", "kafka.topics", "t1"}, flume.Known{"topic": "u"}, "map[kafka://b:9092/t1:map[topic:u] kafka://c:1/t1:map[topic:u]]"},
		"unknown headers": {[]string{"useFlumeEventFormat", "true", "kafka.topics", "t1"}, nil, "map[kafka://b:9092/t1:map[] kafka://c:1/t1:map[]]"},
		"a regex":         {[]string{"kafka.topics.regex", "t.*"}, nil, "map[]"},
	} {
		set := append([]string{"kafka.bootstrap.servers", "B,c:1"}, c.settings...)
		if !strings.Contains(strings.Join(c.settings, " "), "kafka.topics") {
			set = append(set, "kafka.topics", "t1,t2")
		}
		plan, problems := Kind.Bind(section(t, set...))
		if problems.Fatal() {
			t.Fatal(problems)
		}
		o, ok := plan.Settings.(flume.Origin)
		if !ok {
			t.Fatal("settings name no origin")
		}
		if got := fmt.Sprint(o.Origins(c.received)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestMost(t *testing.T) {
	for _, c := range []struct{ batch, capacity, want int }{{1000, 0, 1000}, {20, 100, 100}, {1000, 10000, 10000}} {
		s := Settings{batchSize: c.batch}
		if got := s.most(flume.Env{TransactionCapacity: c.capacity}); got != c.want {
			t.Errorf("batchSize %d, transactionCapacity %d: %d", c.batch, c.capacity, got)
		}
	}
}
