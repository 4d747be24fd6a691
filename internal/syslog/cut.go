package syslog

import "bytes"

// A stream cuts messages from the bytes of a connection, which come in whatever pieces. What it is given begins with the
// message that is not complete yet; it remembers how far it has looked, so that no byte is looked at twice.
type stream struct {
	frames
	most   int  // bytes of a message; that many without its end are cut off
	counts bool // octet counting is taken
	plain  bool // the start of a message is not looked at
	state  state
	bad    bool // the message does not start with a priority
	digits int  // of the priority
	looked int  // from the start of the message
	left   int  // bytes of a counted message that are not cut yet
}

type state uint8

const (
	starting  state = iota
	priority        // behind "<"
	inside          // behind the priority
	counted         // in a message whose length is known
	remaining       // in what is beyond the greatest size of such a message
)

// Cut finds up to n more messages in p, which stays as it is until Clear, and returns how many bytes they and what lies
// between them have. Ended says that no more bytes come: what is left is a message too.
func (s *stream) Cut(p []byte, n int, ended bool) int {
	used := 0
	for n += len(s.list); len(s.list) < n && used < len(p); {
		size := s.next(p[used:])
		if size < 0 {
			if !ended {
				break
			}
			size = s.last(p[used:])
		}
		used += size
	}
	return used
}

// next cuts one message, or skips what is none, and returns how many bytes that takes; -1: more have to come.
func (s *stream) next(p []byte) int {
	switch s.state {
	case starting:
		return s.begin(p)
	case priority:
		return s.inPriority(p)
	case inside:
		return s.inLine(p)
	case counted:
		return s.inCounted(p)
	default:
		return s.beyond(p)
	}
}

// done cuts a message from the start of p.
func (s *stream) done(p []byte, end, size int, how status) int {
	s.add(p[:end], how)
	s.state, s.bad, s.digits, s.looked = starting, false, 0, 0
	return size
}

func (s *stream) begin(p []byte) int {
	if p[0] == '\n' {
		return 1
	}
	if s.counts && p[0] > '0' && p[0] <= '9' {
		skip, size, ok := prefix(p, max(s.most, leastCounted))
		switch {
		case skip < 0:
			return -1
		case ok:
			s.state, s.left = counted, size
			return skip
		}
	}
	switch {
	case s.plain:
		s.state = inside
		return s.inLine(p)
	case p[0] == '<':
		s.state, s.looked = priority, 1
		return s.inPriority(p)
	}
	s.state, s.bad = inside, true
	return s.inLine(p)
}

// inPriority goes on to the bracket, or to what cannot stand before it.
func (s *stream) inPriority(p []byte) int {
	for s.looked < len(p) {
		c := p[s.looked]
		switch {
		case c == '\n':
			return s.done(p, s.looked, s.looked+1, s.rest())
		case c == '>':
			s.bad = s.digits == 0
		default:
			s.digits++
			if c >= '0' && c <= '9' && s.digits <= 3 {
				s.looked++
				continue
			}
			s.bad = true
		}
		s.looked++
		s.state = inside
		return s.inLine(p)
	}
	return -1
}

// inLine looks for the newline.
func (s *stream) inLine(p []byte) int {
	if s.looked < s.most {
		within := p[:min(len(p), s.most)]
		if at := bytes.IndexByte(within[s.looked:], '\n'); at >= 0 {
			at += s.looked
			return s.done(p, at, at+1, s.whole())
		}
		s.looked = len(within)
	}
	if s.looked < s.most {
		return -1
	}
	return s.done(p, s.looked, s.looked, max(s.whole(), incomplete))
}

// whole is the status of a line that has its end.
func (s *stream) whole() status {
	if s.bad {
		return invalid
	}
	return good
}

// inCounted waits for a message whose length is known, as far as it may be.
func (s *stream) inCounted(p []byte) int {
	if len(p) < min(s.left, s.most) {
		return -1
	}
	if s.left > s.most {
		s.add(p[:s.most], incomplete)
		s.state = remaining
		s.left -= s.most
		return s.most
	}
	return s.done(p, len(bytes.TrimSuffix(p[:s.left], []byte{'\n'})), s.left, good)
}

// beyond cuts what is left of a counted message into pieces.
func (s *stream) beyond(p []byte) int {
	piece := min(s.left, s.most)
	if len(p) < piece {
		return -1
	}
	s.left -= piece
	if s.left > 0 {
		s.add(p[:piece], invalid)
		return piece
	}
	return s.done(p, piece, piece, invalid)
}

// last cuts what a connection ends with.
func (s *stream) last(p []byte) int { return s.done(p, len(p), len(p), max(s.rest(), incomplete)) }

// CutShort makes a message of p, which is a part of one that there is no room for. What follows is read as the next.
func (s *stream) CutShort(p []byte) {
	if s.state != counted && s.state != remaining {
		s.last(p)
		return
	}
	s.add(p, max(s.rest(), incomplete))
	s.state = remaining
	s.left -= len(p)
}

// rest is the status of what has no end. A priority without its bracket is one, as in Flume.
func (s *stream) rest() status {
	if s.bad || s.state == priority && s.digits == 0 || s.state == remaining || s.state == starting && !s.plain {
		return invalid
	}
	return good
}

// Datagram cuts all messages of a datagram, or the first only. Its end is the end of a message.
func (s *stream) Datagram(p []byte, sender int, first bool) {
	for len(p) > 0 {
		n := len(s.list)
		size := s.next(p)
		if size < 0 {
			size = s.done(p, len(p), len(p), s.rest())
		}
		p = p[size:]
		if len(s.list) == n {
			continue
		}
		s.list[n].sender = sender
		if first {
			return
		}
	}
}

// leastCounted is how long a counted message may be at least. A greater number is not taken for a length: it would
// swallow what follows.
const leastCounted = 1 << 20

// prefix reads the length in front of a counted message, and returns how long it is itself with its blank; -1: more
// bytes have to come. Not ok: it is none.
func prefix(p []byte, most int) (skip, size int, ok bool) {
	at := 0
	for at < len(p) && p[at] >= '0' && p[at] <= '9' {
		if size = size*10 + int(p[at]-'0'); size > most {
			return 0, 0, false
		}
		at++
	}
	if at == len(p) {
		return -1, 0, false
	}
	if p[at] != ' ' {
		return 0, 0, false
	}
	skip = at + 1
	if skip == len(p) {
		return -1, 0, false
	}
	if p[skip] != '<' {
		return 0, 0, false
	}
	for at = skip + 1; at < len(p) && p[at] >= '0' && p[at] <= '9'; at++ {
		if at > skip+3 {
			return 0, 0, false
		}
	}
	switch {
	case at == len(p):
		return -1, 0, false
	case p[at] != '>' || at == skip+1 || at-skip >= size:
		return 0, 0, false
	}
	return skip, size, true
}
