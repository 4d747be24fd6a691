// Package hadoopcodec compresses files as Hadoop does, under the names that Flume's hdfs.codeC takes.
//
//	Find ─▶ Codec ─▶ NewPool, one for a sink ─▶ Writer, one for a file      Write, Flush, Finish, Reset
//	                                            Reader                      content, and where the last whole member ends
//
// A file is a sequence of members, each whole in itself. Flume ends one with each batch, and so does a sink here:
// between members a Writer has nothing but a few words (see below), so thousands of files may be open. While it is within
// a member it has a state of the pool's. A sink therefore writes the events of one file and ends their member before it
// takes the next file, and needs one state for each of its goroutines. The pool keeps so many; more than that may be
// lent, and are the garbage collector's afterwards.
//
// # Memory
//
// A Writer is 64 bytes. A state, with 43 kB in a member, and at most:
//
//	default, deflate, gzip    1 MB   1 MB
//	bzip2                    80 kB   9 MB, which it takes when the member ends
//	snappy, lz4             100 kB   0.6 MB, or three times the longest write
//	zstandard               1.4 MB   2.6 MB
//
// Once there is a state, a member takes no allocation.
//
// # Formats
//
//	default, deflate  .deflate  zlib streams (RFC 1950)
//	gzip              .gz       gzip members (RFC 1952), no name, no time, system unknown
//	bzip2             .bz2      bzip2 streams of level 9 (internal/bzip2)
//	snappy            .snappy   blocks of raw Snappy chunks
//	lz4               .lz4      blocks of raw LZ4 chunks
//	zstandard         .zst      frames with a checksum and a window of at most 1 MB
//
// A block, as Hadoop's BlockCompressorStream frames them (not the Snappy and LZ4 frame formats); numbers are big-endian:
//
//	uint32 length of what the block holds | chunks until there is so much: uint32 length | compressed bytes
//
// A block ends before the write that would make it longer than fits in Hadoop's buffer (262,144 bytes, of which 218,422 are
// Snappy's and 261,100 LZ4's). A write longer than that is a block of its own, of several chunks. Hadoop ends a
// stream that ends with such a one by a block of length zero, at which its own reader ends; we never write one, and read on.
//
// # What can be read after a crash
//
// Up to the last Finish all, of any format; the rest is to be cut off, at Reader.Whole. After Flush within a member
// what came before it is readable too, though readers will say that the member has no end: of deflate, gzip and
// zstandard. Of snappy and lz4 any block is whole by itself; a bzip2 stream can only be ended, so that
// Flush is Finish for these three.
//
// LZ4 and small Snappy blocks are equal to the byte with what Flume writes; of the others only the content is.
package hadoopcodec
