// Package hdfs is the sink that writes events to files of HDFS (or of file://), in directories and under names by their
// headers and times, as Flume's HDFS sink does.
//
//	Deliver ─┬─ sort by bucket ─┬─▶ bucket ─▶ format ─▶ file ─▶ flushed ─┐
//	         │                  ├─▶ bucket ─▶ format ─▶ file ─▶ flushed ─┼─▶ nil: the channel commits
//	         │                  └─▶ bucket ─▶ …                          │
//	         └─ rejected: no timestamp, a path that cannot be            └─ pending: the bucket's events alone
//
//	file ─▶ (count, size, time, idle, replicas) ─▶ ending: closed, then renamed      ending.go
//	killed ─▶ journal ─▶ orphan: lease recovered, cut to whole records, renamed       journal.go, orphan.go
//
// A bucket is a directory and the beginning of a name, as the templates of hdfs.path and hdfs.filePrefix make them of an
// event; it has one open file, or none.
//
//	/logs/2024-03-31/FlumeData.1718000000001.gz.tmp    while it is written to: inUsePrefix, prefix, number, extension, inUseSuffix
//	/logs/2024-03-31/FlumeData.1718000000001.gz        afterwards
//
// The number begins with the time in ms at which the bucket is first used and grows by one for each file. A name that
// somebody else has already is left alone; the next number is taken.
//
// The rules:
//
//   - An event is delivered when the DataNodes have it (hflush; with hdfs.hsync on their disks). Buckets are written to
//     at the same time, so that a batch takes as long as its slowest bucket.
//   - After each flush a file is whole: containers and codecs end their block or member. What follows the last flush has
//     been promised to nobody.
//   - A call that took too long has broken nothing: the bucket goes on with it by itself, its events are parked by the
//     agent, new ones of that bucket are too, and no other bucket waits. When what was under way is safe at last, the
//     parked events are known by their content when they come again, and are not written a second time.
//   - A file that is lost (ErrLost) is closed by recovering its lease, cut to its last flush, renamed; its bucket goes on
//     with a new file.
//   - A file is renamed only when the NameNode has said that it is closed.
//   - Between two calls no event waits here, and no encoder: what an open file costs is its name, its counters and what
//     the file system keeps of it. A batch has 16 MB at most, and stands encoded in memory once while it is written.
//
// With hdfs.exactlyOnce a ledger beside the files says which positions of Kafka are in which bytes of which file. It is
// written first, so that a repetition is known, and a file that a crash has left is cut where the last whole batch ends
// (ledger.go, chain.go, once.go):
//
//	repeated? ─▶ left out;  new ─▶ ledger flushed ─▶ file flushed ─▶ the channel commits
//
// How it fails: a process that is killed leaves files in use; the next one finds them in its journal. Events that were
// flushed and not yet committed by the channel come twice then, as in Flume, but with hdfs.exactlyOnce.
package hdfs
