package taildir

import "hash/fnv"

// A place is where a file lies, whatever its name.
type place struct {
	device, inode uint64
	born          int64 // nanoseconds since 1970; zero: the file system does not say
}

// same reports whether both are one file: not one that was removed and another that has got its inode.
func (p place) same(q place) bool {
	return p.device == q.device && p.inode == q.inode && (p.born == q.born || p.born == 0 || q.born == 0)
}

// key is the part of a place that no two files have at one time.
func (p place) key() place { return place{device: p.device, inode: p.inode} }

// info is what the system says of a file.
type info struct {
	place
	size    int64
	changed int64 // when its content was changed, in nanoseconds since 1970
	touched int64 // when anything about it was changed, its removal too; zero: the system does not say
	links   uint64
	regular bool
}

// printSize is how many bytes a print is of, where there are as many.
const printSize = 256

// A print is a sum over a run of bytes of a file.
type print struct {
	n   int
	sum uint64
}

func printOf(b []byte) print {
	h := fnv.New64a()
	_, _ = h.Write(b) // it cannot fail
	return print{len(b), h.Sum64()}
}
