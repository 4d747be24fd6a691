package kafka

import (
	"context"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A partition that is lost while a commit is under way is somebody else's: its offset must not be committed later.
func TestWhatWasLostDuringACommitIsNotCommittedAfterwards(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "test3"))
	produce(t, c, record("test3", 0, "one"))
	r, hole := newRig(t, 100), newSinkhole()
	plan, _ := Kind.Bind(section(t, "kafka.bootstrap.servers", servers(c), "kafka.topics", "test3", "kafka.consumer.auto.offset.reset", "earliest"))
	opened, err := plan.Open(t.Context(), r.Env)
	if err != nil {
		t.Fatal(err)
	}
	src := opened.(*source)
	var mu sync.Mutex
	commits := 0
	failing := make(chan struct{})
	c.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		commits++
		if commits > 1 {
			return nil, nil, false
		}
		close(failing)
		src.lost(src.member, map[string][]int32{"test3": {0}}) // the group has given it to another
		q := req.(*kmsg.OffsetCommitRequest)
		resp := q.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, qt := range q.Topics {
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = qt.Topic, qt.TopicID
			for _, qp := range qt.Partitions {
				rp := kmsg.NewOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = qp.Partition, kerr.InvalidCommitOffsetSize.Code // after which the client does not join anew
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, hole.emit) }()
	hole.await(t, 1)
	<-failing
	cancel() // what is left is committed at the end
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if commits > 1 {
		t.Errorf("the offset of a lost partition was committed again: %d commits, at %d", commits, committed(c, "test3", 0))
	}
}
