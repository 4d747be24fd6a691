package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/internal/position"
)

// Places are what the positions of records begin with: the ids of the cluster and its topics. Each topic is asked for
// once; one that is made anew ends its readers. They are used by one goroutine at a time.
type Places struct {
	admin   *kadm.Client
	cluster string
	topics  map[string]string // name to what stands for it in a position
}

// NewPlaces are those of the client's cluster.
func NewPlaces(cl *kgo.Client) *Places {
	return &Places{admin: kadm.NewClient(cl), topics: map[string]string{}}
}

// Of returns the text of every position of a partition but for the offset.
func (p *Places) Of(ctx context.Context, topic string, partition int32) (string, error) {
	name, ok := p.topics[topic]
	if !ok {
		var err error
		if name, err = p.ask(ctx, topic); err != nil {
			return "", fmt.Errorf("asking Kafka for the id of topic %s, which positions hold: %w", topic, err)
		}
		p.topics[topic] = name
	}
	return position.Partition{Cluster: p.cluster, Topic: name, Number: partition}.Prefix(), nil
}

func (p *Places) ask(ctx context.Context, topic string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := p.admin.Metadata(ctx, topic)
	if err != nil {
		return "", err
	}
	if m.Cluster == "" {
		return "", errors.New("the cluster has no id (Kafka has one from 0.10.1 on), so its records cannot be known again; switch exactly-once off")
	}
	t, ok := m.Topics[topic]
	if !ok {
		return "", errors.New("the answer does not name it")
	}
	if t.Err != nil {
		return "", t.Err
	}
	p.cluster = m.Cluster
	return position.Topic(topic, t.ID), nil
}
