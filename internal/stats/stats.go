// Package stats keeps the counters of every component under Flume's names, and serves Flume's JSON metrics page.
//
//	component ── Counter("EventPutSuccessCount") ──▶ one atomic, added to once per batch
//	Registry ──▶ /metrics   {"CHANNEL.c1":{"ChannelSize":"0",…},…}
//
// On the page every value is a JSON string, also numbers and truth values, as Flume has it. ChannelFillPercentage is
// not counted but worked out from ChannelSize and ChannelCapacity, and printed as Java prints a double. The counter
// "Open" is shown as true or false.
//
// Every source, channel and sink has all counters of its group, also where Flume's component of that type has none
// (netcat, logger) or fewer (the Kafka ones): a reader of the page finds what it looks for.
package stats

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Type is what kind of component the counters are of, as the page spells it.
type Type string

// The groups of counters.
const (
	Source        Type = "SOURCE"
	Channel       Type = "CHANNEL"
	Sink          Type = "SINK"
	SinkProcessor Type = "SINK_PROCESSOR" // of a sink group; has none but its own
)

// rejected is the counter of events that went to the dead letters; Flume has none.
const rejected = "RejectedCount"

// standard are the counters that every component of a type has, in the order of the page.
func standard(t Type) []string {
	switch t {
	case Source:
		return []string{
			"EventReceivedCount", "EventAcceptedCount", "AppendReceivedCount", "AppendAcceptedCount",
			"AppendBatchReceivedCount", "AppendBatchAcceptedCount", "OpenConnectionCount",
			"EventReadFail", "ChannelWriteFail", "GenericProcessingFail", rejected,
		}
	case Channel:
		return []string{
			"ChannelSize", "ChannelCapacity", "EventPutAttemptCount", "EventPutSuccessCount",
			"EventTakeAttemptCount", "EventTakeSuccessCount",
		}
	case Sink:
		return []string{
			"ConnectionCreatedCount", "ConnectionClosedCount", "ConnectionFailedCount", "BatchEmptyCount",
			"BatchUnderflowCount", "BatchCompleteCount", "EventDrainAttemptCount", "EventDrainSuccessCount",
			"EventWriteFail", "ChannelReadFail", rejected,
		}
	case SinkProcessor:
	}
	return nil
}

// A Registry holds the counters of all components of an agent. The zero value is empty and ready.
type Registry struct {
	mu  sync.Mutex
	all []*Counters
}

// Component returns the counters of that component, all zero the first time.
func (r *Registry) Component(t Type, name string) *Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		if c.typ == t && c.name == name {
			return c
		}
	}
	c := &Counters{typ: t, name: name, values: map[string]*atomic.Int64{}}
	for _, attribute := range standard(t) {
		c.names = append(c.names, attribute)
		c.values[attribute] = new(atomic.Int64)
	}
	r.all = append(r.all, c)
	return c
}

// Components are all that have counters, in the order in which they came.
func (r *Registry) Components() []*Counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Counters are those of one component.
type Counters struct {
	typ  Type
	name string

	started, stopped atomic.Int64 // milliseconds since 1970; zero: never

	mu     sync.Mutex
	names  []string // in the order of the page
	values map[string]*atomic.Int64
}

// Key is the component's name on the page: SOURCE.r1.
func (c *Counters) Key() string { return string(c.typ) + "." + c.name }

// Counter returns the counter of that attribute; one that the type does not have by itself is added.
func (c *Counters) Counter(attribute string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.values[attribute]
	if v == nil {
		v = new(atomic.Int64)
		c.names = append(c.names, attribute)
		c.values[attribute] = v
	}
	return v
}

// Value is what the counter of that attribute stands at; zero where there is none.
func (c *Counters) Value(attribute string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.values[attribute]; v != nil {
		return v.Load()
	}
	return 0
}

// Started sets StartTime. The counters go on where they stood: a component that is opened again loses no history.
func (c *Counters) Started(log *slog.Logger) {
	c.started.Store(time.Now().UnixMilli())
	c.stopped.Store(0)
	log.Info("Component type: " + string(c.typ) + ", name: " + c.name + " started")
}

// Stopped sets StopTime and writes the counters to the log in Flume's words. A component that was never started says
// nothing.
func (c *Counters) Stopped(log *slog.Logger) {
	if c.started.Load() == 0 {
		return
	}
	c.stopped.Store(time.Now().UnixMilli())
	log.Info("Component type: " + string(c.typ) + ", name: " + c.name + " stopped")
	head := "Shutdown Metric for type: " + string(c.typ) + ", name: " + c.name + ". "
	group := strings.ToLower(string(c.typ))
	log.Info(head + group + ".start.time == " + strconv.FormatInt(c.started.Load(), 10))
	log.Info(head + group + ".stop.time == " + strconv.FormatInt(c.stopped.Load(), 10))
	for _, line := range c.internal() {
		log.Info(head + line)
	}
}

// internal lists "key == value" by Flume's internal names, sorted.
func (c *Counters) internal() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := make([]string, 0, len(c.names))
	for _, attribute := range c.names {
		lines = append(lines, internalKey(c.typ, attribute)+" == "+strconv.FormatInt(c.values[attribute].Load(), 10))
	}
	slices.Sort(lines)
	return lines
}

// An attribute is one line of a component on the page.
type attribute struct{ name, value string }

func (c *Counters) attributes() []attribute {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]attribute, 0, len(c.names)+4)
	for _, name := range c.names {
		n := c.values[name].Load()
		value := strconv.FormatInt(n, 10)
		if name == "Open" {
			value = strconv.FormatBool(n != 0)
		}
		out = append(out, attribute{name, value})
	}
	if c.typ == Channel {
		out = append(out, attribute{"ChannelFillPercentage",
			javaDouble(fill(c.values["ChannelSize"].Load(), c.values["ChannelCapacity"].Load()))})
	}
	return append(out,
		attribute{"StartTime", strconv.FormatInt(c.started.Load(), 10)},
		attribute{"StopTime", strconv.FormatInt(c.stopped.Load(), 10)},
		attribute{"Type", string(c.typ)})
}

// fill is Flume's answer to a capacity of zero too: the largest double.
func fill(size, capacity int64) float64 {
	if capacity == 0 {
		return math.MaxFloat64
	}
	return float64(size) / float64(capacity) * 100
}

// javaDouble prints f, which is finite, as Java's Double.toString does.
func javaDouble(f float64) string {
	if abs := math.Abs(f); abs == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	sign := ""
	if exponent[0] == '-' {
		sign = "-"
	}
	return mantissa + "E" + sign + strings.TrimLeft(exponent[1:], "0")
}

// internalKey is the name that Flume's log has for an attribute: src.events.received.
func internalKey(t Type, attribute string) string {
	switch attribute {
	case "EventReceivedCount":
		return "src.events.received"
	case "EventAcceptedCount":
		return "src.events.accepted"
	case "AppendReceivedCount":
		return "src.append.received"
	case "AppendAcceptedCount":
		return "src.append.accepted"
	case "AppendBatchReceivedCount":
		return "src.append-batch.received"
	case "AppendBatchAcceptedCount":
		return "src.append-batch.accepted"
	case "OpenConnectionCount":
		return "src.open-connection.count"
	case "EventReadFail":
		return "src.event.read.fail"
	case "GenericProcessingFail":
		return "src.generic.processing.fail"
	case "ChannelWriteFail":
		return "src.channel.write.fail"
	case "ChannelSize":
		return "channel.current.size"
	case "ChannelCapacity":
		return "channel.capacity"
	case "EventPutAttemptCount":
		return "channel.event.put.attempt"
	case "EventPutSuccessCount":
		return "channel.event.put.success"
	case "EventTakeAttemptCount":
		return "channel.event.take.attempt"
	case "EventTakeSuccessCount":
		return "channel.event.take.success"
	case "EventPutErrorCount":
		return "channel.file.event.put.error"
	case "EventTakeErrorCount":
		return "channel.file.event.take.error"
	case "CheckpointWriteErrorCount":
		return "channel.file.checkpoint.write.error"
	case "CheckpointBackupWriteErrorCount":
		return "channel.file.checkpoint.backup.write.error"
	case "ConnectionCreatedCount":
		return "sink.connection.creation.count"
	case "ConnectionClosedCount":
		return "sink.connection.closed.count"
	case "ConnectionFailedCount":
		return "sink.connection.failed.count"
	case "BatchEmptyCount":
		return "sink.batch.empty"
	case "BatchUnderflowCount":
		return "sink.batch.underflow"
	case "BatchCompleteCount":
		return "sink.batch.complete"
	case "EventDrainAttemptCount":
		return "sink.event.drain.attempt"
	case "EventDrainSuccessCount":
		return "sink.event.drain.sucess" // Flume's spelling, which scripts look for
	case "EventWriteFail":
		return "sink.event.write.fail"
	case "ChannelReadFail":
		return "sink.channel.read.fail"
	case "RollbackCount":
		return "channel.rollback.count"
	case "KafkaEventSendTimer":
		return "channel.kafka.event.send.time"
	case "KafkaEventGetTimer":
		return kafkaGroup(t) + ".kafka.event.get.time"
	case "KafkaCommitTimer":
		return kafkaGroup(t) + ".kafka.commit.time"
	case "KafkaEmptyCount":
		return "source.kafka.empty.count"
	}
	return dotted(t, attribute)
}

func kafkaGroup(t Type) string {
	if t == Source {
		return "source"
	}
	return "channel"
}

// dotted makes a key of an attribute that Flume does not have: RejectedCount of a source is src.rejected.count.
func dotted(t Type, attribute string) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(string(t)))
	if t == Source {
		b.Reset()
		b.WriteString("src")
	}
	for _, r := range attribute {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('.')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
