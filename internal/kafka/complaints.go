package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Complaints are what reading says of its errors. They are made by one goroutine at a time.
type Complaints struct {
	log  *slog.Logger
	said map[string]time.Time // when an error was logged, by place and text
}

// Of logs an error of a poll that reading recovers from, once and then every few minutes, and returns one that it does
// not recover from.
func (c *Complaints) Of(topic string, partition int32, err error) error {
	var lost *kgo.ErrDataLoss
	var group *kgo.ErrGroupSession
	var code *kerr.Error
	place := fmt.Sprintf("%s-%d", topic, partition)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case errors.Is(err, kgo.ErrClientClosed):
		return err
	case errors.As(err, &lost):
		c.log.Warn("the broker has lost records that it had acknowledged", "place", place, "err", err)
		return nil
	case errors.As(err, &group):
		c.Once("the group does not take this member; trying on", err)
		return nil
	case errors.As(err, &code) && !errors.Is(err, kerr.UnknownTopicID) &&
		(code.Retriable || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed)):
		c.Once("reading is held up; trying on", err, slog.String("place", place))
		return nil
	case errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("reading %s: the topic was deleted and made anew: %w", place, err)
	}
	return fmt.Errorf("reading %s: %w", place, err)
}

// Once warns of an error that is tried on, and again when it has gone on for minutes.
func (c *Complaints) Once(what string, err error, more ...slog.Attr) {
	const again = 5 * time.Minute
	key := what + ": " + err.Error()
	if time.Since(c.said[key]) < again {
		return
	}
	if c.said == nil || len(c.said) > 1000 {
		c.said = map[string]time.Time{}
	}
	c.said[key] = time.Now()
	c.log.LogAttrs(context.Background(), slog.LevelWarn, what, append(more, slog.Any("err", err))...)
}
