package flume

import "slices"

// An Event is what flows: headers and a body of bytes.
type Event struct {
	Headers Headers
	Body    []byte
}

// Size is the number of bytes that the event's body and headers hold.
func (e *Event) Size() int {
	n := len(e.Body)
	for i := range e.Headers {
		n += len(e.Headers[i].Key) + len(e.Headers[i].Value)
	}
	return n
}

// A Header is one entry of an event's header map. Both strings are bytes passed on unchanged, mostly UTF-8.
type Header struct{ Key, Value string }

// Headers are Flume's header map, kept as pairs: no key stands twice. Decoders cut the headers of a batch from one
// allocation, with cap == len for each event, so that appending to one never writes into the next.
type Headers []Header

// Get returns the value of key and whether it is there.
func (h Headers) Get(key string) (string, bool) {
	for i := range h {
		if h[i].Key == key {
			return h[i].Value, true
		}
	}
	return "", false
}

// Set gives key the value, in place where it is there.
func (h *Headers) Set(key, value string) {
	for i := range *h {
		if (*h)[i].Key == key {
			(*h)[i].Value = value
			return
		}
	}
	*h = append(*h, Header{key, value})
}

// Delete removes key.
func (h *Headers) Delete(key string) {
	*h = slices.DeleteFunc(*h, func(x Header) bool { return x.Key == key })
}

// linear is the number of headers up to which looking for a key twice costs less than sorting.
const linear = 32

// Unique drops every entry whose key comes again later: the last one wins, as in Java's map. Decoders of outside
// bytes call it. The order of what stays is kept.
func (h Headers) Unique() Headers {
	if len(h) < 2 {
		return h
	}
	if len(h) <= linear {
		for i := range h {
			for j := i + 1; j < len(h); j++ {
				if h[i].Key == h[j].Key {
					return h.dropEarlier()
				}
			}
		}
		return h
	}
	keys := make([]string, len(h))
	for i := range h {
		keys[i] = h[i].Key
	}
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return h.dropEarlier()
		}
	}
	return h
}

func (h Headers) dropEarlier() Headers {
	last := make(map[string]int, len(h))
	for i := range h {
		last[h[i].Key] = i
	}
	out := h[:0]
	for i := range h {
		if last[h[i].Key] == i {
			out = append(out, h[i])
		}
	}
	return out[:len(out):len(out)]
}

// A Batch is a run of events that move together.
type Batch []Event

// Size is the number of bytes that its bodies and headers hold.
func (b Batch) Size() int {
	n := 0
	for i := range b {
		n += b[i].Size()
	}
	return n
}

// SetHeader gives key the value in every event, with one allocation for the batch. Where keep is true an event that
// has the key already stays as it is.
func (b Batch) SetHeader(key, value string, keep bool) {
	missing, room := 0, 0
	for i := range b {
		h := b[i].Headers
		at := slices.IndexFunc(h, func(x Header) bool { return x.Key == key })
		switch {
		case at < 0:
			missing++
			room += len(h) + 1
		case !keep:
			h[at].Value = value
		}
	}
	if missing == 0 {
		return
	}
	all := make(Headers, 0, room)
	for i := range b {
		h := b[i].Headers
		if _, ok := h.Get(key); ok {
			continue
		}
		from := len(all)
		all = append(append(all, h...), Header{key, value})
		b[i].Headers = all[from:len(all):len(all)]
	}
}

// Keep drops, in place and in order, every event for which keep is false.
func (b Batch) Keep(keep func(e *Event) bool) Batch {
	out := b[:0]
	for i := range b {
		if keep(&b[i]) {
			out = append(out, b[i])
		}
	}
	clear(b[len(out):])
	return out
}

// Clone returns a batch whose events and headers can be changed without touching b's. Bodies are shared.
func (b Batch) Clone() Batch {
	n := 0
	for i := range b {
		n += len(b[i].Headers)
	}
	all := make(Headers, 0, n)
	out := make(Batch, len(b))
	for i := range b {
		from := len(all)
		all = append(all, b[i].Headers...)
		out[i] = Event{Headers: all[from:len(all):len(all)], Body: b[i].Body}
	}
	return out
}
