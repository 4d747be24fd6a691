package serializer

import (
	"cmp"
	"slices"

	"github.com/sluice-io/sluice/flume"
)

// order returns headers as a Java hash map goes through them that began with 16 slots and doubled when three quarters
// were full: by slot, and in the order of arrival within one. A map of Flume's may have begun smaller (a copy of a few
// headers does) or be older than what is in it, so that its order can differ. The result is scratch.
func (s *Serializer) order(h flume.Headers) flume.Headers {
	if len(h) < 2 {
		return h
	}
	size := 16
	for len(h) > size/4*3 {
		size *= 2
	}
	s.headers, s.slots = s.headers[:0], s.slots[:0]
	for i := range h {
		s.slots = append(s.slots, slot(h[i].Key, size)<<16|uint32(i))
	}
	if len(h) > 1<<16 { // no room for the index
		return h
	}
	slices.SortFunc(s.slots, cmp.Compare[uint32])
	for _, at := range s.slots {
		s.headers = append(s.headers, h[at&(1<<16-1)])
	}
	return s.headers
}

// slot is where Java's hash map keeps a string.
func slot(key string, size int) uint32 {
	var hash uint32
	for _, r := range key { // in UTF-16 units
		if r >= 1<<16 {
			r -= 1 << 16
			hash = 31*hash + 0xd800 + uint32(r>>10)
			r = 0xdc00 + r&0x3ff
		}
		hash = 31*hash + uint32(r)
	}
	hash ^= hash >> 16
	return hash & uint32(size-1)
}
