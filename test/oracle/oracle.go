// Package oracle proves from outside what a flow does to events: what is lost, doubled, out of order or changed.
//
// It writes numbered events into a Kafka topic with acks=all, remembers which of them the broker acknowledged, reads
// the topic at the flow's other end, and compares. It knows nothing of agents.
//
//	Produce ─▶ input topic ─▶ (the flow) ─▶ output topic ─▶ Watch
//	   └── Ledger.Acked                           Ledger.Saw ──┘
//	                        Ledger.Report
//
// A flow that begins with an Avro source or ends with an Avro sink has a Sender in Produce's place, a Receiver in
// Watch's.
//
// An event belongs to a lane and has a number in it. Lane i is written to partition i of the input topic, in order of
// the numbers; a keyed lane has a key of its own, so that it stays in one partition of any topic. Rules:
//
//   - missing: acknowledged at the input, never seen at the output. An event that was sent and not acknowledged may
//     arrive or not.
//   - duplicate: seen again.
//   - out of order: seen for the first time after a later one of its lane. A batch that is delivered again is
//     duplicates, not disorder.
//   - damaged: a body that carries a number of the run and is not the body that was sent.
//   - foreign: everything else in the output topic.
//
// A body is text: the run, the lane, the number with eight digits, then one letter that follows from lane and number,
// repeated up to the size asked for; a body that was overwritten by a neighbour's bytes is therefore damaged.
//
//	run7 3 00000042 hhhhhhhhhhhhhhhh
package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// A Load is one run of numbered events.
type Load struct {
	Run    string // the first word of each body, without blanks; it tells runs in one topic apart
	Lanes  int    // one for each partition of the input topic
	Events int    // in all lanes together; 0: until the producer is stopped
	Size   int    // bytes of a body, at least what its numbers need
	Keyed  bool   // give every lane a key

	// Stamp gives each record two headers: "origin" with the run and "number" with lane and number.
	Stamp bool
	// Since is the timestamp of the first record, in whole milliseconds; each later one of a lane is a millisecond on.
	Since time.Time
	// Headers, if set, says which headers an event must have at the output; it is asked when the event's position in
	// the input topic is known. Other headers than these are wrong too.
	Headers func(p Position) map[string]string
}

// A Position says where an event lies in the input topic.
type Position struct {
	Lane, Number int
	Offset       int64
	Time         time.Time
	Key          string
}

const digits = 8

var (
	errForeign = errors.New("not an event of this run")
	errDamaged = errors.New("the body is not the one that was sent")
)

// Key returns the key of a lane's records, nil if they have none.
func (l Load) Key(lane int) []byte {
	if !l.Keyed {
		return nil
	}
	return []byte(l.Run + "-lane-" + strconv.Itoa(lane))
}

// Time returns the timestamp of a record.
func (l Load) Time(number int) time.Time {
	return l.Since.Add(time.Duration(number) * time.Millisecond)
}

// Body appends the body of an event to b.
func (l Load) Body(b []byte, lane, number int) []byte {
	start := len(b)
	b = fmt.Appendf(b, "%s %d %0*d ", l.Run, lane, digits, number)
	for len(b)-start < l.Size {
		b = append(b, letter(lane, number))
	}
	return b
}

func letter(lane, number int) byte { return 'a' + byte((lane*7+number)%26) }

// parse finds lane and number of a body. A padding of "x" is taken too: that is what the Java drivers of test/peers write.
func (l Load) parse(body []byte) (lane, number int, err error) {
	rest, ok := bytes.CutPrefix(body, []byte(l.Run+" "))
	if !ok {
		return 0, 0, errForeign
	}
	first, rest, _ := bytes.Cut(rest, []byte(" "))
	second, pad, _ := bytes.Cut(rest, []byte(" "))
	lane, err = strconv.Atoi(string(first))
	if err != nil || lane < 0 || lane >= l.Lanes {
		return 0, 0, errForeign
	}
	number, err = strconv.Atoi(string(second))
	if err != nil || len(second) != digits || number < 0 || number > math.MaxInt32 {
		return 0, 0, errForeign
	}
	want := letter(lane, number)
	if len(pad) > 0 && pad[0] == 'x' {
		want = 'x'
	}
	if len(body) < l.Size {
		return lane, number, errDamaged
	}
	for _, c := range pad {
		if c != want {
			return lane, number, errDamaged
		}
	}
	return lane, number, nil
}
