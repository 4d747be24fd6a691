// Package stamp gives the events of a batch headers whose values differ, with a few allocations for the whole batch:
// all values are cut from one string, all headers that grow from one slice.
package stamp

import "github.com/sluice-io/sluice/flume"

// A Pad collects what the events of one batch are to get. The zero Pad is empty.
type Pad struct {
	text   []byte
	stamps []stamp
}

type stamp struct {
	event int
	key   string
	size  int // of the value, which follows in text
}

// Add gives an event, by its index in the batch, a header. Events come in ascending order; of two values for one key
// the last holds.
func (p *Pad) Add(event int, key string, value []byte) {
	p.text = append(p.text, value...)
	p.stamps = append(p.stamps, stamp{event, key, len(value)})
}

// Forget takes back what was added for an event last.
func (p *Pad) Forget(event int) {
	for n := len(p.stamps) - 1; n >= 0 && p.stamps[n].event == event; n-- {
		p.text = p.text[:len(p.text)-p.stamps[n].size]
		p.stamps = p.stamps[:n]
	}
}

// Apply sets the headers and empties the pad.
func (p *Pad) Apply(b flume.Batch) {
	room, last := 0, -1
	for _, s := range p.stamps {
		if s.event != last {
			room += len(b[s.event].Headers)
			last = s.event
		}
		room++
	}
	text, all := string(p.text), make(flume.Headers, 0, room)
	for n := 0; n < len(p.stamps); {
		event := p.stamps[n].event
		from := len(all)
		all = append(all, b[event].Headers...)
		h := all[from:]
		for ; n < len(p.stamps) && p.stamps[n].event == event; n++ {
			s := p.stamps[n]
			h.Set(s.key, text[:s.size])
			text = text[s.size:]
		}
		all = all[:from+len(h)]
		b[event].Headers = h[:len(h):len(h)]
	}
	p.text, p.stamps = p.text[:0], p.stamps[:0]
}
