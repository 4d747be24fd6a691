//go:build interop

package compat

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/sluice-io/sluice/flume"
)

// pick returns one of a few.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// words are what bodies and header values are made of: what patterns look for, and what text may be.
func words(r *rand.Rand) string {
	return pick(r, "ERROR", "error", "INFO", "user=anna", "id=42", "a.b", "aXb", "foo", "foobar", "10.0.3.77", "2012-06-23 13:46:33", "2012-06-23",
		"žluťoučký", "鍵", "😀", "é", "ß", "\t", " ", "  ", ",", "=", "{}", "$1", `\`, `"quoted"`, "it's", "%", "#", ":", "0", "123", "-5", "abc", "aabbc",
		"key=value", "(x)", "[y]", "line\nbreak", "\r\n", "\n", "\u00a0", "\u2028", "ＡＢ")
}

// phrase is a text of a few words, and sometimes none.
func phrase(r *rand.Rand, most int) string {
	var out strings.Builder
	for range r.IntN(most + 1) {
		out.WriteString(words(r))
		if r.IntN(2) == 0 {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

// names are those of headers, which settings name too.
func names(r *rand.Rand) string {
	return pick(r, "host", "timestamp", "id", "key", "topic", "basename", "state", "State", "a", "b", "x.y", "with blank", "kéy", "flume.client", "secret-1", "secret-2")
}

// headers are some that no map has twice. Their values are text: Flume spoils others.
func headers(r *rand.Rand) flume.Headers {
	var h flume.Headers
	for range r.IntN(6) {
		value := phrase(r, 2)
		switch r.IntN(4) {
		case 0:
			value = fmt.Sprint(1340459193234 + r.Int64N(1e9))
		case 1:
			value = ""
		}
		h.Set(names(r), value)
	}
	return h
}

// events are a batch; raw says whether some bodies are no text.
func events(r *rand.Rand, n int, raw bool) flume.Batch {
	b := make(flume.Batch, n)
	for i := range b {
		b[i].Headers = headers(r)
		b[i].Body = []byte(phrase(r, 8))
		switch {
		case raw && r.IntN(3) == 0:
			b[i].Body = binary(r, r.IntN(40))
		case r.IntN(20) == 0:
			b[i].Body = []byte(strings.Repeat(phrase(r, 5)+"0123456789", 500))
		}
	}
	return b
}

// binary is bytes of which most are no UTF-8.
func binary(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	return b
}

// A pattern of Java with as many groups, each of which takes part in every match.
type pattern struct {
	text   string
	groups int
}

func patterns(r *rand.Rand) pattern {
	return pick(r, pattern{`\d+`, 0}, pattern{`(\d+)`, 1}, pattern{`^ERROR`, 0}, pattern{`(?i)(error|info)`, 1}, pattern{`(\w+)=(\w+)`, 2},
		pattern{`(\d{1,3})\.(\d{1,3})\.(\d{1,3})`, 3}, pattern{`\s+`, 0}, pattern{`.`, 0}, pattern{`$`, 0}, pattern{`^`, 0}, pattern{`^$`, 0}, pattern{``, 0},
		pattern{`\bfoo\b`, 0}, pattern{`[^\x00-\x7F]+`, 0}, pattern{`(?<key>\w+)=(?<val>\w+)`, 2}, pattern{`(?=\d)`, 0}, pattern{`\p{L}+`, 0},
		pattern{`(\p{Lu}\p{L}*)`, 1}, pattern{`\Qa.b\E`, 0}, pattern{`(?m)^(.)`, 1}, pattern{`(?s)^(.*)$`, 1}, pattern{`.*`, 0}, pattern{`(.*)`, 1}, pattern{`(\S+)\s+(\S+)`, 2},
		pattern{`a++b`, 0}, pattern{`(?<!foo)bar`, 0}, pattern{`([a-z&&[^b]]+)`, 1}, pattern{`(\w)\1`, 1}, pattern{`\R`, 0}, pattern{`\h`, 0}, pattern{`[,:;]`, 0}, pattern{`never matches this`, 0})
}
