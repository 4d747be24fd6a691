package bzip2

// A sorter sorts the rotations of blocks. Its memory is used again: 4 bytes for each byte of the largest block, and
// less than 3 for what is renamed on the way.
type sorter struct {
	order []int32
	text  []byte // of periodic blocks one period, turned
	level []level
}

// A level is what one recursion of the suffix sort needs.
type level struct {
	buckets []int32
	lms     []bool
}

// rotations gives, in the order of the rotations of block, the byte before each, appended to last, and where in that
// order the block itself stands.
//
// The block is turned to its least rotation first. Where that is no power of a shorter text no proper suffix of it is a
// prefix too, so that its suffixes have the order of its rotations. Of a power one period is sorted: equal rotations are
// neighbours.
func (s *sorter) rotations(last, block []byte) ([]byte, int) {
	n := len(block)
	start, period := leastRotation(block)
	s.text = append(append(s.text[:0], block[start:]...), block[:start]...)[:period]
	if cap(s.order) < period {
		s.order = make([]int32, period)
	}
	order := s.order[:period]
	suffixes(s, 0, s.text, order, 256)

	times, home, at := n/period, 0, (n-start)%n%period
	for i, p := range order {
		if int(p) == at {
			home = i * times
		}
		before := int(p) - 1
		if before < 0 {
			before = period - 1
		}
		for range times {
			last = append(last, s.text[before])
		}
	}
	return last, home
}

// leastRotation gives where the least rotation of p begins and what its shortest period is, which divides its length.
func leastRotation(p []byte) (start, period int) {
	n := len(p)
	i, j := 0, 1
	for k := 0; j < n && k < n; {
		a, b := p[(i+k)%n], p[(j+k)%n]
		switch {
		case a == b:
			k++
			if k == n {
				return i, j - i
			}
			continue
		case a < b:
			j += k + 1
		default:
			i, j = j, max(j+1, i+k+1)
		}
		k = 0
	}
	return i, n
}

// suffixes sorts the suffixes of text, of symbols below size, into order (induced sorting, Nong, Zhang and Chan 2009).
// A suffix is small where it is less than the one after it; a leftmost small one follows a large one. An empty suffix,
// less than all, is thought at the end.
func suffixes[T byte | int32](s *sorter, depth int, text []T, order []int32, size int) {
	n := len(text)
	if n < 2 {
		clear(order)
		return
	}
	if depth == len(s.level) {
		s.level = append(s.level, level{})
	}
	l := &s.level[depth]
	if cap(l.buckets) < 2*size {
		l.buckets = make([]int32, 2*size)
	}
	if cap(l.lms) < n {
		l.lms = make([]bool, n)
	}
	sizes, edges, lms := l.buckets[:size], l.buckets[size:2*size], l.lms[:n]
	clear(sizes)
	for _, c := range text {
		sizes[c]++
	}

	// The leftmost small suffixes, unsorted, at the ends of their buckets; the others are induced by them.
	for i := range order {
		order[i] = -1
	}
	ends(sizes, edges)
	small := false
	lms[n-1] = false
	for i := n - 2; i >= 0; i-- {
		lms[i] = false
		if text[i] < text[i+1] {
			small = true
		} else if text[i] > text[i+1] {
			if small {
				lms[i+1] = true
				c := text[i+1]
				edges[c]--
				order[edges[c]] = int32(i + 1)
			}
			small = false
		}
	}
	induce(text, order, sizes, edges)

	// Their pieces, each up to the next one, are sorted now, and get names.
	count := 0
	for _, p := range order {
		if lms[p] {
			order[count] = p
			count++
		}
	}
	names := order[count:]
	for i := range names {
		names[i] = -1
	}
	name, before := -1, -1
	for _, p := range order[:count] {
		if before < 0 || !samePiece(text, lms, before, int(p)) {
			name++
		}
		before = int(p)
		names[p/2] = int32(name) // no two are neighbours
	}
	renamed := order[n-count:]
	k := count
	for i := len(names) - 1; i >= 0; i-- {
		if names[i] >= 0 {
			k--
			renamed[k] = names[i]
		}
	}
	sorted := order[:count]
	if name+1 < count {
		suffixes(s, depth+1, renamed, sorted, name+1)
		sizes, edges, lms = s.level[depth].buckets[:size], s.level[depth].buckets[size:2*size], s.level[depth].lms[:n]
	} else {
		for i, name := range renamed {
			sorted[name] = int32(i)
		}
	}

	// Back to where they are in text, and to the ends of their buckets, sorted.
	k = 0
	for i, is := range lms {
		if is {
			renamed[k] = int32(i)
			k++
		}
	}
	for i, p := range sorted {
		sorted[i] = renamed[p]
	}
	for i := count; i < n; i++ {
		order[i] = -1
	}
	ends(sizes, edges)
	for i := count - 1; i >= 0; i-- {
		p := order[i]
		order[i] = -1
		c := text[p]
		edges[c]--
		order[edges[c]] = p
	}
	induce(text, order, sizes, edges)
}

// ends sets each edge behind its bucket, starts before it.
func ends(sizes, edges []int32) {
	sum := int32(0)
	for c, n := range sizes {
		sum += n
		edges[c] = sum
	}
}

func starts(sizes, edges []int32) {
	sum := int32(0)
	for c, n := range sizes {
		edges[c] = sum
		sum += n
	}
}

// induce sorts the large suffixes by the leftmost small ones, and the small ones by the large.
func induce[T byte | int32](text []T, order, sizes, edges []int32) {
	n := len(text)
	starts(sizes, edges)
	c := text[n-1]
	order[edges[c]] = int32(n - 1) // by the empty suffix
	edges[c]++
	for i := range n {
		p := order[i] - 1
		if p < 0 {
			continue
		}
		if c := text[p]; c >= text[p+1] {
			order[edges[c]] = p
			edges[c]++
		}
	}
	ends(sizes, edges)
	for i := n - 1; i >= 0; i-- {
		p := order[i] - 1
		if p < 0 {
			continue
		}
		// Of equal symbols p is small if the suffix after it is, which has its place already then.
		if c := text[p]; c <= text[p+1] && int(edges[c]) <= i {
			edges[c]--
			order[edges[c]] = p
		}
	}
}

// samePiece compares two pieces of text.
func samePiece[T byte | int32](text []T, lms []bool, a, b int) bool {
	if text[a] != text[b] {
		return false
	}
	for i := 1; ; i++ {
		if a+i == len(text) || b+i == len(text) || text[a+i] != text[b+i] || lms[a+i] != lms[b+i] {
			return false
		}
		if lms[a+i] {
			return true
		}
	}
}
