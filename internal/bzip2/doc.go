// Package bzip2 writes the format of bzip2, at its level 9.
//
//	Write ─▶ runs ─▶ block of 900 kB ─▶ rotations sorted ─▶ places, runs of zeros ─▶ codes ─▶ bits
//
// A stream, in bits, the highest first:
//
//	'BZh9' | blocks | 48 bits 177245385090 | 32 bits CRC of all blocks: rotated left by one, xor the block's | 0 to 7 zeros
//
// A block:
//
//	48 bits 314159265359 | 32 bits CRC of what it stands for | a zero | 24 bits which sorted rotation is the block itself
//	16 bits and as many times 16 as are set of them: the bytes that occur | 3 bits tables | 15 bits groups
//	the table of each group, its place in a list of those used last: so many ones, and a zero
//	the code lengths of each table: 5 bits, then for each symbol 10 one more, 11 one less, 0 done
//	the symbols: groups of 50, each in the codes of its table
//
// In the block four equal bytes are followed by one that says how many more there are. Its sorted rotations give their
// last bytes, those their places in a list of bytes used last, and those the symbols. The CRC is that of IEEE 802.3, the
// highest bit first.
//
// Why there is this package, and how its streams compare with bzip2's, stands in docs/decisions/0011-bzip2.md.
package bzip2
