package bzip2

const (
	maxSymbols  = 258 // two for runs, 255 places, the end
	groupSize   = 50
	maxTables   = 6
	maxBits     = 17 // decoders take 20
	passes      = 4
	costInside  = 0 // in the first guess, of a symbol that a table is for
	costOutside = 15
)

// A coding turns sorted bytes into symbols and these into bits.
type coding struct {
	last    []byte
	symbols []uint16
	chosen  []uint8 // the table of each group of symbols
	lengths [maxTables][maxSymbols]uint8
	codes   [maxTables][maxSymbols]uint32
	counts  [maxTables][maxSymbols]int32
	tree    tree
}

func (c *coding) encode(b *bitWriter) {
	var used [256]bool
	for _, v := range c.last {
		used[v] = true
	}
	places := writeUsed(b, &used)
	c.moveToFront(&used)
	alphabet := places + 2
	tables := c.guess(alphabet)
	c.choose(tables, alphabet)

	b.write(3, uint64(tables))
	b.write(15, uint64(len(c.chosen)))
	var order [maxTables]uint8
	for i := range order {
		order[i] = uint8(i)
	}
	for _, t := range c.chosen {
		at := 0
		for order[at] != t {
			at++
		}
		copy(order[1:at+1], order[:at])
		order[0] = t
		b.write(uint(at)+1, 1<<(at+1)-2)
	}
	for t := range tables {
		writeLengths(b, c.lengths[t][:alphabet])
		codes(&c.codes[t], c.lengths[t][:alphabet])
	}
	for g, t := range c.chosen {
		lengths, codes := &c.lengths[t], &c.codes[t]
		for _, s := range c.group(g) {
			b.write(uint(lengths[s]), uint64(codes[s]))
		}
	}
}

func (c *coding) group(g int) []uint16 {
	return c.symbols[g*groupSize : min((g+1)*groupSize, len(c.symbols))]
}

// writeUsed says which bytes there are: which sixteenths of the 256, and which of each of those.
func writeUsed(b *bitWriter, used *[256]bool) (places int) {
	var parts uint64
	var each [16]uint64
	for v, is := range used {
		if is {
			places++
			parts |= 1 << (15 - v/16)
			each[v/16] |= 1 << (15 - v%16)
		}
	}
	b.write(16, parts)
	for _, e := range each {
		if e != 0 {
			b.write(16, e)
		}
	}
	return places
}

// moveToFront makes the symbols: 0 and 1 are digits of how often the byte in front comes, in base two with the digits one
// and two, the lowest first; others are the byte's place plus one; the greatest is the end.
func (c *coding) moveToFront(used *[256]bool) {
	var order [256]byte
	n := 0
	for v, is := range used {
		if is {
			order[n] = byte(v)
			n++
		}
	}
	symbols := c.symbols[:0]
	zeros := 0
	for _, v := range c.last {
		if v == order[0] {
			zeros++
			continue
		}
		symbols = appendZeros(symbols, zeros)
		zeros = 0
		// Everything in front of v moves back by one.
		moved, at := order[0], 1
		for ; order[at] != v; at++ {
			order[at], moved = moved, order[at]
		}
		order[at] = moved
		order[0] = v
		symbols = append(symbols, uint16(at+1))
	}
	c.symbols = append(appendZeros(symbols, zeros), uint16(n+1))
}

func appendZeros(symbols []uint16, zeros int) []uint16 {
	for zeros > 0 {
		symbols = append(symbols, uint16((zeros-1)&1))
		zeros = (zeros - 1) >> 1
	}
	return symbols
}

// guess sets the lengths of each table so that it is for a range of symbols, all ranges about as frequent.
func (c *coding) guess(alphabet int) (tables int) {
	switch n := len(c.symbols); {
	case n < 200:
		tables = 2
	case n < 600:
		tables = 3
	case n < 1200:
		tables = 4
	case n < 2400:
		tables = 5
	default:
		tables = 6
	}
	counts := &c.counts[0]
	clear(counts[:])
	for _, s := range c.symbols {
		counts[s]++
	}
	left, from := int32(len(c.symbols)), 0
	for t := tables; t > 0; t-- {
		want, has, to := left/int32(t), int32(0), from
		for to < alphabet && has < want {
			has += counts[to]
			to++
		}
		if to > from+1 && t != tables && t != 1 && (tables-t)%2 == 1 {
			to-- // ranges between the first and the last end before their share and behind it in turn
			has -= counts[to]
		}
		for s := range alphabet {
			c.lengths[t-1][s] = costOutside
			if s >= from && s < to {
				c.lengths[t-1][s] = costInside
			}
		}
		left -= has
		from = to
	}
	return tables
}

// choose gives each group the table that makes it shortest, and each table the lengths best for its groups, in turn.
func (c *coding) choose(tables, alphabet int) {
	for range passes {
		for t := range tables {
			clear(c.counts[t][:alphabet])
		}
		c.chosen = c.chosen[:0]
		for g := range (len(c.symbols) + groupSize - 1) / groupSize {
			group := c.group(g)
			var costs [maxTables]int
			for t := range tables {
				lengths, cost := &c.lengths[t], 0
				for _, s := range group {
					cost += int(lengths[s])
				}
				costs[t] = cost
			}
			best := 0
			for t := 1; t < tables; t++ {
				if costs[t] < costs[best] {
					best = t
				}
			}
			c.chosen = append(c.chosen, uint8(best))
			counts := &c.counts[best]
			for _, s := range group {
				counts[s]++
			}
		}
		for t := range tables {
			c.tree.lengths(c.lengths[t][:alphabet], c.counts[t][:alphabet])
		}
	}
}

// writeLengths writes the first length, and each as steps from the one before it: 10 up, 11 down, 0 here.
func writeLengths(b *bitWriter, lengths []uint8) {
	at := lengths[0]
	b.write(5, uint64(at))
	for _, n := range lengths {
		for ; at < n; at++ {
			b.write(2, 2)
		}
		for ; at > n; at-- {
			b.write(2, 3)
		}
		b.write(1, 0)
	}
}

// codes numbers the symbols by length, and equal ones in their order.
func codes(codes *[maxSymbols]uint32, lengths []uint8) {
	code := uint32(0)
	for n := uint8(1); n <= maxBits; n++ {
		for s, l := range lengths {
			if l == n {
				codes[s] = code
				code++
			}
		}
		code <<= 1
	}
}

// A tree finds the lengths of a prefix code.
type tree struct {
	heap   []int32 // of nodes, the lightest first
	weight [2 * maxSymbols]int64
	parent [2 * maxSymbols]int32
}

// lengths of symbols that come so often; one that does not come counts as one. No length is above maxBits: where one
// would be, the counts are made more alike.
func (t *tree) lengths(lengths []uint8, counts []int32) {
	for shift := 0; ; shift++ {
		t.build(counts, shift)
		longest := uint8(0)
		for s := range lengths {
			n := uint8(0)
			for p := t.parent[s]; p >= 0; p = t.parent[p] {
				n++
			}
			lengths[s] = n
			longest = max(longest, n)
		}
		if longest <= maxBits {
			return
		}
	}
}

// build joins the two lightest nodes until there is one. The low byte of a weight is the node's height, which keeps
// the tree low.
func (t *tree) build(counts []int32, shift int) {
	n := len(counts)
	t.heap = t.heap[:0]
	for s, count := range counts {
		t.weight[s] = int64(max(count, 1)>>shift+min(int32(shift), 1)) << 8
		t.push(int32(s))
	}
	for next := int32(n); len(t.heap) > 1; next++ {
		a, b := t.pop(), t.pop()
		t.parent[a], t.parent[b] = next, next
		height := max(t.weight[a]&0xff, t.weight[b]&0xff) + 1
		t.weight[next] = (t.weight[a]&^0xff + t.weight[b]&^0xff) | height
		t.push(next)
	}
	t.parent[t.pop()] = -1
}

func (t *tree) push(node int32) {
	t.heap = append(t.heap, node)
	i := len(t.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if t.weight[t.heap[up]] <= t.weight[node] {
			break
		}
		t.heap[i] = t.heap[up]
		i = up
	}
	t.heap[i] = node
}

func (t *tree) pop() int32 {
	top := t.heap[0]
	end := len(t.heap) - 1
	node := t.heap[end]
	t.heap = t.heap[:end]
	i := 0
	for 2*i+1 < end {
		down := 2*i + 1
		if down+1 < end && t.weight[t.heap[down+1]] < t.weight[t.heap[down]] {
			down++
		}
		if t.weight[node] <= t.weight[t.heap[down]] {
			break
		}
		t.heap[i] = t.heap[down]
		i = down
	}
	if end > 0 {
		t.heap[i] = node
	}
	return top
}
