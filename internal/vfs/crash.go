package vfs

import (
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what the disk could hold if the power went now: everything that was synced, and of the rest what r
// picks. The result has no locks and nothing unsynced; the file system itself stays as it is.
//
// Of each file's unsynced writes it keeps none, all, the first few, or any pages of 512 or 4096 bytes of them; of one
// page a later write only with the earlier ones, for a page is written as a whole. The length may cover pages that
// were lost, which are zeros then. Of each directory's unsynced changes it keeps none, all, the first few, or any, but
// of one name a later change only with the earlier ones.
func (m *Memory) Crash(r *rand.Rand) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := NewMemory()
	out.limit = m.limit
	left := map[*inode]*inode{} // ours → the copy's; renaming may leave one under two names
	for _, path := range slices.Sorted(maps.Keys(m.dirs)) {
		d := m.dirs[path]
		names := d.crash(r)
		now := make(map[string]*inode, len(names))
		for _, name := range slices.Sorted(maps.Keys(names)) {
			ino := names[name]
			if left[ino] == nil {
				content := ino.crash(r)
				left[ino] = &inode{now: content, safe: content, shared: true}
				out.used += blocks(len(content))
			}
			now[name] = left[ino]
		}
		out.dirs[path] = &memoryDir{now: now, safe: now, shared: true}
	}
	return out
}

// Clone returns a copy with everything in it safe and no locks: what SIGKILL leaves.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := NewMemory()
	out.limit = m.limit
	out.used = m.used
	for path, d := range m.dirs {
		now := make(map[string]*inode, len(d.now))
		for name, ino := range d.now {
			ino.shared = true
			now[name] = &inode{now: ino.now, safe: ino.now, shared: true}
		}
		out.dirs[path] = &memoryDir{now: now, safe: now, shared: true}
	}
	return out
}

// How much of what is unsynced a crash keeps.
const (
	keepNone = iota
	keepAll
	keepFirst
	keepAny
	keepWays
)

func (d *memoryDir) crash(r *rand.Rand) map[string]*inode {
	if len(d.pending) == 0 {
		return d.safe
	}
	names := maps.Clone(d.safe)
	n := len(d.pending)
	switch r.IntN(keepWays) {
	case keepNone:
		n = 0
	case keepFirst:
		n = r.IntN(n + 1)
	case keepAny:
		lost := map[string]bool{}
		for _, op := range d.pending {
			if lost[op.from] || lost[op.to] || r.IntN(2) == 0 {
				lost[op.from], lost[op.to] = op.from != "", op.to != ""
				continue
			}
			op.apply(names)
		}
		return names
	}
	for _, op := range d.pending[:n] {
		op.apply(names)
	}
	return names
}

// crash returns the content, which may still be that of the file it came from.
func (ino *inode) crash(r *rand.Rand) []byte {
	if len(ino.pending) == 0 {
		return ino.safe
	}
	way := r.IntN(keepWays)
	if way == keepAny && slices.ContainsFunc(ino.pending, func(op fileOp) bool { return op.truncate }) {
		way = keepFirst // lengths are kept in order by every journal
	}
	n := len(ino.pending)
	switch way {
	case keepNone:
		return ino.safe
	case keepFirst:
		n = r.IntN(n + 1)
	case keepAny:
		return ino.anyPages(r)
	}
	out := slices.Clone(ino.safe)
	for _, op := range ino.pending[:n] {
		out = op.apply(out)
	}
	return out
}

func (ino *inode) anyPages(r *rand.Rand) []byte {
	page := int64(512)
	if r.IntN(2) == 0 {
		page = 4096
	}
	loss := 1 + r.IntN(3) // of 4
	out := slices.Clone(ino.safe)
	lost := map[int64]bool{}
	for _, op := range ino.pending {
		for from := int64(0); from < int64(len(op.data)); {
			at := op.off + from
			to := min(int64(len(op.data)), from+page-at%page)
			if !lost[at/page] && r.IntN(4) < loss {
				lost[at/page] = true
			}
			if !lost[at/page] {
				out = fileOp{off: at, data: op.data[from:to]}.apply(out)
			}
			from = to
		}
	}
	if room := len(ino.now) - len(out); room > 0 && r.IntN(2) == 0 {
		out = resize(out, int64(len(out)+1+r.IntN(room)))
	}
	return out
}

// Killed returns what the end of the process leaves: everything that was done, what is not synced still so, and no
// locks.
func (m *Memory) Killed() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := NewMemory()
	out.limit, out.used = m.limit, m.used
	copies := map[*inode]*inode{}
	copied := func(names map[string]*inode) map[string]*inode {
		left := make(map[string]*inode, len(names))
		for name, ino := range names {
			left[name] = ino.copied(copies)
		}
		return left
	}
	for path, d := range m.dirs {
		left := &memoryDir{now: copied(d.now), safe: copied(d.safe)}
		for _, op := range d.pending {
			if op.ino != nil {
				op.ino = op.ino.copied(copies)
			}
			left.pending = append(left.pending, op)
		}
		out.dirs[path] = left
	}
	return out
}

func (ino *inode) copied(copies map[*inode]*inode) *inode {
	c := copies[ino]
	if c == nil {
		ino.shared = true
		c = &inode{now: ino.now, safe: ino.safe, shared: true, torn: ino.torn, pending: slices.Clone(ino.pending)}
		copies[ino] = c
	}
	return c
}

// Synced tells whether a power cut would lose nothing.
func (m *Memory) Synced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.dirs {
		if len(d.pending) > 0 {
			return false
		}
		for _, ino := range d.now {
			if len(ino.pending) > 0 || ino.torn {
				return false
			}
		}
	}
	return true
}

// Sum is a checksum of all names and contents.
func (m *Memory) Sum(seed maphash.Seed) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := uint64(0)
	var h maphash.Hash
	h.SetSeed(seed)
	for path, d := range m.dirs {
		for name, ino := range d.now {
			h.Reset()
			h.WriteString(path)
			h.WriteByte(0)
			h.WriteString(name)
			h.WriteByte(0)
			h.Write(ino.now)
			sum += h.Sum64()
		}
	}
	return sum
}
