package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// quiet is how long a message that was logged is not logged again.
const quiet = time.Minute

// logger hands on what the client says. The client tries everything again for as long as it lives, and says so each
// time; here a message is said once and then at most every minute, with the number of those left out. That a broker is
// out of reach is said by the hook, once for each reason, and once more when the broker is back.
type logger struct {
	log *slog.Logger

	mu      sync.Mutex
	said    map[string]*utterance // by message
	brokers map[string]*utterance // by address: those out of reach
}

type utterance struct {
	reason  string
	at      time.Time
	dropped int
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log, said: map[string]*utterance{}, brokers: map[string]*utterance{}}
}

var (
	_ kgo.Logger            = (*logger)(nil)
	_ kgo.HookBrokerConnect = (*logger)(nil)
)

// Level is kgo.Logger's.
func (l *logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo // what the client calls debugging is every request
	}
	return kgo.LogLevelWarn
}

// Log is kgo.Logger's. What the client calls an error it recovers from, so nothing is more than a warning here.
func (l *logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	switch level {
	case kgo.LogLevelNone:
	case kgo.LogLevelInfo, kgo.LogLevelDebug:
		l.log.Debug("Kafka: "+msg, keyvals...)
	case kgo.LogLevelWarn, kgo.LogLevelError:
		if canceled(keyvals) || // a client that is being closed has nothing to complain of
			strings.HasPrefix(msg, "unable to open connection to broker") || // OnBrokerConnect says it
			msg == "group manage loop errored" { // polling says it
			return
		}
		if dropped, ok := l.due(l.said, msg, ""); ok {
			if dropped > 0 {
				keyvals = append(keyvals, "repeated", dropped)
			}
			l.log.Warn("Kafka: "+msg, keyvals...)
		}
	}
}

func canceled(keyvals []any) bool {
	return slices.ContainsFunc(keyvals, func(v any) bool {
		err, ok := v.(error)
		return ok && (errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed))
	})
}

// due reports whether to say something of key, and how often it was kept quiet since it was said last.
func (l *logger) due(of map[string]*utterance, key, reason string) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := of[key]
	if u == nil {
		u = &utterance{}
		of[key] = u
	}
	if u.reason == reason && !u.at.IsZero() && time.Since(u.at) < quiet {
		u.dropped++
		return 0, false
	}
	dropped = u.dropped
	*u = utterance{reason: reason, at: time.Now()}
	return dropped, true
}

// OnBrokerConnect is kgo.HookBrokerConnect's.
func (l *logger) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	addr := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	if err == nil {
		l.mu.Lock()
		_, was := l.brokers[addr]
		delete(l.brokers, addr)
		l.mu.Unlock()
		if was {
			l.log.Info("Kafka broker reached again", "broker", addr)
		}
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	if dropped, ok := l.due(l.brokers, addr, err.Error()); ok {
		l.log.Warn("Kafka broker out of reach; trying on", "broker", addr, "err", err, "repeated", dropped)
	}
}

// reasons lists the brokers that are out of reach, for an error that has the last reason already.
func (l *logger) reasons() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.brokers) < 2 {
		return ""
	}
	var out []string
	for addr, u := range l.brokers {
		out = append(out, fmt.Sprintf("%s: %s", addr, u.reason))
	}
	slices.Sort(out)
	return " (" + strings.Join(out, "; ") + ")"
}
