package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
	"github.com/sluice-io/sluice/internal/event"
	"github.com/sluice-io/sluice/internal/position"
)

// positionsOf are the positions of what has come, with the bodies.
func positionsOf(t *testing.T, b flume.Batch) string {
	t.Helper()
	var out []string
	_, places := position.Cut(b)
	for i, p := range places {
		if !p.Known {
			t.Errorf("event %q has no position: %v", b[i].Body, b[i].Headers)
		}
		name, id, _ := strings.Cut(p.Topic, "@")
		if p.Cluster != "kfake" || len(id) != 22 {
			t.Errorf("event %q is of cluster %q, topic %q", b[i].Body, p.Cluster, p.Topic)
		}
		out = append(out, fmt.Sprintf("%s=%s/%d/%d", b[i].Body, name, p.Number, p.Offset))
	}
	return strings.Join(out, " ")
}

// The position of an event is its record's, also when it is emitted again, and also where a header of that name comes
// with it.
func TestPositions(t *testing.T) {
	for _, format := range []string{"false", "true"} {
		t.Run("useFlumeEventFormat="+format, func(t *testing.T) {
			c := cluster(t, kfake.SeedTopics(2, "test3"), kfake.ClusterID("kfake"))
			forged := event.Append(nil, &flume.Event{Headers: flume.Headers{{Key: flume.PositionHeader, Value: "kfake/test3/0/99"}}, Body: []byte("a")})
			records := []*kgo.Record{record("test3", 0, string(forged)), record("test3", 0, string(forged)), record("test3", 1, string(forged))}
			for _, r := range records {
				if format == "false" {
					r.Value = []byte("a")
				}
				r.Headers = []kgo.RecordHeader{{Key: "p", Value: []byte("kfake/test3/0/98")}}
			}
			produce(t, c, records...)
			r, hole := newRig(t, 1), newSinkhole()
			r.Positions = true
			hole.fail = func(n int, b flume.Batch) error {
				if n%2 == 1 {
					clear(b[0].Headers)
					return errors.New("no")
				}
				return nil
			}
			stop := start(t, r, hole.emit, settings(c, "useFlumeEventFormat", format, "header."+flume.PositionHeader, "p")...)
			hole.await(t, 3)
			stop()
			got := positionsOf(t, hole.events)
			for _, want := range []string{"a=test3/0/0 a=test3/0/1", "a=test3/1/0"} {
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %s in it", got, want)
				}
			}
		})
	}
}

// Where nobody asks there is no header.
func TestNoPositions(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, record("test3", 0, "a"))
	r, hole := newRig(t, 1), newSinkhole()
	stop := start(t, r, hole.emit, settings(c)...)
	hole.await(t, 1)
	stop()
	if _, ok := hole.events[0].Headers.Get(flume.PositionHeader); ok {
		t.Error("there is one")
	}
}

// A topic that was deleted and made anew is another one.
func TestPositionsOfATopicMadeAnew(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"), kfake.ClusterID("kfake"))
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	seen := map[string]bool{}
	for _, group := range []string{"g1", "g2"} {
		produce(t, c, record("test3", 0, "a"))
		r, hole := newRig(t, 1), newSinkhole()
		r.Positions = true
		stop := start(t, r, hole.emit, settings(c, "kafka.consumer.group.id", group)...)
		hole.await(t, 1)
		stop()
		positionsOf(t, hole.events)
		p, _ := hole.events[0].Headers.Get(flume.PositionHeader)
		if seen[p] {
			t.Errorf("%s came twice", p)
		}
		seen[p] = true
		if _, err := admin.DeleteTopic(t.Context(), "test3"); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "test3"); err != nil {
			t.Fatal(err)
		}
	}
}

// Nothing is emitted without a position: where a cluster does not say who it is that stands in the log.
func TestPositionsOfAClusterWithoutAnID(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"), kfake.ClusterID(""))
	produce(t, c, record("test3", 0, "a"))
	r, hole := newRig(t, 1), newSinkhole()
	r.Positions = true
	stop := start(t, r, hole.emit, settings(c)...)
	flumetest.Until(t, "a word in the log", func() bool { return strings.Contains(r.Logged(), "the cluster has no id") })
	stop()
	if len(hole.events) > 0 {
		t.Errorf("%d events came", len(hole.events))
	}
}
