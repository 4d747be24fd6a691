package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

var errTruncated = errors.New("the value ends early")

// FlumeFormat takes the value as an AvroFlumeEvent datum: a map of strings, then bytes, in Avro's binary encoding. It
// is written for itself, so that the flow is not judged by its own decoder, and is stricter: nothing may follow the body.
func FlumeFormat(r *kgo.Record) (Record, error) {
	d := datum{rest: r.Value}
	out := Record{Key: r.Key, Headers: map[string]string{}}
	for n := d.long(); n != 0 && d.err == nil; n = d.long() {
		if n < 0 {
			n = -n
			d.long() // the block's size in bytes
		}
		for ; n > 0 && d.err == nil; n-- {
			key := string(d.bytes())
			out.Headers[key] = string(d.bytes())
		}
	}
	out.Body = d.bytes()
	if d.err != nil {
		return Record{}, fmt.Errorf("reading an AvroFlumeEvent: %w", d.err)
	}
	if len(d.rest) > 0 {
		return Record{}, fmt.Errorf("reading an AvroFlumeEvent: %d bytes follow the body", len(d.rest))
	}
	return out, nil
}

type datum struct {
	rest []byte
	err  error
}

func (d *datum) long() int64 {
	v, n := binary.Varint(d.rest) // Avro's zig-zag is Go's
	if n <= 0 {
		d.err = errTruncated
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *datum) bytes() []byte {
	n := d.long()
	if d.err != nil || n < 0 || n > int64(len(d.rest)) {
		d.err = errTruncated
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
