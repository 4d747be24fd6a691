// Package position is where an event comes from, so that a sink can know it again: the value of flume.PositionHeader.
//
//	MkU3OEVBNTcwNTJENDM2Qk/orders@4hKDmVvOQ9qlNzyW8sTqrg/3/128841
//	cluster                topic@id                      │ offset
//	                                                     partition
//
// The rules:
//
//   - Two records of Kafka never have one position: the id of the topic tells a topic from the one of the same name that
//     was deleted before; brokers older than 2.8 know no ids, and there it is missing with its @.
//   - Bytes of cluster and topic other than letters, digits, and "-", ".", "_", "~", "@" are written as %XX, so that "/"
//     and what a Set puts between positions stand nowhere in them.
//   - Partition and offset are decimal, not negative and without leading zeros: one position has one text.
//   - What is replayed out of the dead letters is no repetition. It bears a position of the cluster Letter, which no
//     cluster of Kafka is called.
//
// A sink that asks for positions takes them off with Cut before it does anything else with a batch: the header is not
// for the destination.
package position

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Letter is the cluster of events that were replayed out of the dead letters. Behind it stand the letters' place, 0 and
// the letter's number there.
const Letter = "letter"

// A Partition is what offsets are counted in.
type Partition struct {
	Cluster string
	Topic   string // with @ and its id, where the broker has told one
	Number  int32
}

// A Position is one record's place.
type Position struct {
	Partition
	Offset int64
}

// Topic is the name of a topic with its id. An id of zeros is none.
func Topic(name string, id [16]byte) string {
	if id == [16]byte{} {
		return name
	}
	return name + "@" + base64.RawURLEncoding.EncodeToString(id[:])
}

// Compare orders partitions by cluster, topic, number.
func (p Partition) Compare(q Partition) int {
	if c := strings.Compare(p.Cluster, q.Cluster); c != 0 {
		return c
	}
	if c := strings.Compare(p.Topic, q.Topic); c != 0 {
		return c
	}
	return int(min(max(int64(p.Number)-int64(q.Number), -1), 1))
}

// String is cluster/topic/partition.
func (p Partition) String() string { return string(p.append(nil)) }

func (p Partition) append(b []byte) []byte {
	b = append(escape(b, p.Cluster), '/')
	b = append(escape(b, p.Topic), '/')
	return strconv.AppendInt(b, int64(p.Number), 10)
}

// String is what Parse reads.
func (p Position) String() string {
	return string(strconv.AppendInt(append(p.append(nil), '/'), p.Offset, 10))
}

// Parse reads a position. Where nothing is escaped the result shares the bytes of s.
func Parse(s string) (Position, error) {
	at := strings.LastIndexByte(s, '/')
	if at < 0 {
		return Position{}, bad(s)
	}
	part, err := ParsePartition(s[:at])
	if err != nil {
		return Position{}, bad(s)
	}
	n, ok := number(s[at+1:], math.MaxInt64)
	if !ok {
		return Position{}, bad(s)
	}
	return Position{part, n}, nil
}

// ParsePartition reads what Partition.String writes.
func ParsePartition(s string) (Partition, error) {
	cluster, rest, _ := strings.Cut(s, "/")
	topic, digits, ok := strings.Cut(rest, "/")
	n, fine := number(digits, math.MaxInt32)
	if !ok || !fine {
		return Partition{}, fmt.Errorf("%q is not cluster/topic/partition", shorten(s))
	}
	p := Partition{Number: int32(n)}
	if p.Cluster, ok = unescape(cluster); !ok {
		return Partition{}, fmt.Errorf("%q names no cluster as it is written here", shorten(s))
	}
	if p.Topic, ok = unescape(topic); !ok {
		return Partition{}, fmt.Errorf("%q names no topic as it is written here", shorten(s))
	}
	return p, nil
}

func bad(s string) error {
	return fmt.Errorf("%q is not cluster/topic/partition/offset", shorten(s))
}

// shorten keeps what a peer sent from filling the log.
func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// number reads the one way of writing a number up to most.
func number(s string, most int64) (int64, bool) {
	if s == "" || len(s) > 19 || s[0] == '0' && len(s) > 1 || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= most
}

// plain bytes stand for themselves.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || c == '@'
}

const hex = "0123456789ABCDEF"

func escape(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// unescape refuses what escape does not write, and an empty name.
func unescape(s string) (string, bool) {
	at := 0
	for at < len(s) && plain(s[at]) {
		at++
	}
	if at == len(s) {
		return s, s != ""
	}
	out := append(make([]byte, 0, len(s)), s[:at]...)
	for i := at; i < len(s); i++ {
		if plain(s[i]) {
			out = append(out, s[i])
			continue
		}
		if s[i] != '%' || i+2 >= len(s) {
			return "", false
		}
		high, low := strings.IndexByte(hex, s[i+1]), strings.IndexByte(hex, s[i+2])
		c := byte(high<<4 | low)
		if high < 0 || low < 0 || plain(c) {
			return "", false
		}
		out, i = append(out, c), i+2
	}
	return string(out), true
}

// Prefix is the text of every position in a partition but for the offset, which stands behind it in decimal.
func (p Partition) Prefix() string { return string(append(p.append(nil), '/')) }
