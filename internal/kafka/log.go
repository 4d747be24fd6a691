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

// logger hands on what the client says, at DEBUG: it is about the client's inside, and what the client cannot mend comes
// back as an error of a poll or a record. That a broker is out of reach is said by the hook: once for each reason, then at
// most every minute with the number of those left out, and once more when the broker is back.
type logger struct {
	log *slog.Logger

	mu      sync.Mutex
	opening bool                  // nothing is said: what is wrong is in the error of Open
	brokers map[string]*utterance // by address: those out of reach
}

type utterance struct {
	reason  string
	at      time.Time
	dropped int
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log, opening: true, brokers: map[string]*utterance{}}
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
	return kgo.LogLevelNone
}

// Log is kgo.Logger's.
func (l *logger) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	l.log.Debug("Kafka client: "+msg, keyvals...)
}

// opened ends the silence of Open.
func (l *logger) opened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opening = false
}

// due reports whether to say that a broker is out of reach, and how often it was kept quiet since it was said last.
func (l *logger) due(addr, reason string) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.brokers[addr]
	if u == nil {
		u = &utterance{}
		l.brokers[addr] = u
	}
	if u.reason == reason && !u.at.IsZero() && time.Since(u.at) < quiet {
		u.dropped++
		return 0, false
	}
	dropped = u.dropped
	*u = utterance{reason: reason, at: time.Now()}
	return dropped, !l.opening
}

// OnBrokerConnect is kgo.HookBrokerConnect's.
func (l *logger) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	addr := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	if err == nil {
		l.mu.Lock()
		_, was := l.brokers[addr]
		opening := l.opening
		delete(l.brokers, addr)
		l.mu.Unlock()
		if was && !opening {
			l.log.Info("Kafka broker reached again", "broker", addr)
		}
		return
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	if dropped, ok := l.due(addr, err.Error()); ok {
		args := []any{"broker", addr, "error", err}
		if dropped > 0 {
			args = append(args, "repeated", dropped)
		}
		l.log.Warn("Kafka broker out of reach; trying on", args...)
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
