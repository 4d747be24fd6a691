// Package seqfile writes Hadoop's SequenceFiles as Flume's HDFS sink does, reads them, and finds where a torn one ends.
//
//	Format ─▶ NewPool, one for a sink ─▶ Create, Continue ─▶ Writer, one for a file     Append, Flush, Size, Reset
//	                                     Scan ─▶ Tail, where a file is whole
//	                                     Reader
//
// After a Flush that returned nil all records are in the file, which may end there: in-use files need no closing
// bytes, and Size is that boundary. After an error the sink cuts the file to Size, calls Reset and writes the batch again;
// after a crash it finds the boundary with Scan, cuts there, and may go on with Continue.
//
// Between Flush and Append a Writer holds a few words. With records that are not flushed it has a set of buffers of the
// pool's. A sink therefore writes the events of one file and flushes them before it takes the next file, and needs one
// set for each of its goroutines.
//
// A Writer is 112 bytes. A set of buffers has 70 kB without compression; with BLOCK it is 1 MB of records (twice that
// where one is as large) and what its codec needs (see hadoopcodec): 1.5 to 4 MB, with bzip2 9 MB.
//
// # Format
//
// Version 6; numbers are big-endian, a vint is Hadoop's number of one to nine bytes, and a text is a vint length and
// bytes. A file begins with
//
//	'SEQ' 06 | text key class | text value class | compressed 0, 1 | in blocks 0, 1 | text codec class, if compressed |
//	int32 pairs of metadata | text key, text value of each | 16 bytes sync marker, random
//
// and goes on with records, or, with compression BLOCK, blocks; between records there are sync entries:
//
//	record      int32 length of key and value | int32 length of the key | key | value
//	sync entry  FFFFFFFF | sync marker
//	block       sync entry | vint records | four times vint length, bytes: the lengths of the keys, keys, lengths of the
//	            values, values; each compressed for itself, lengths are vints
//	key         int64: LongWritable, the time of the event
//	value       int32 length, bytes: BytesWritable (hdfs.writeFormat = Writable); or a text: Text. With RECORD compressed
//
// A sync entry is written before the record that begins 102,400 bytes or more behind the last one (2,000 in Hadoop 2), and
// at each Flush behind the last record, except in blocks, which begin with one. A block ends at 1,000,000 bytes of
// keys and values, and at each Flush.
//
// Without compression a file is equal to Flume's to the byte, but for the marker; with it, as far as the codec's
// bytes are.
package seqfile
