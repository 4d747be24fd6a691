// Package wal is a durable queue of events in files, in the format of Flume's file channel: it opens a directory that
// Flume 1.2 to 1.11 has written, and Flume opens what it leaves behind.
//
//	Put ─▶ records ─▶ lane ─▶ data file ─┐ synced               ┌─▶ Take ─▶ Commit ─▶ records ─▶ lane
//	       (no lock)  (group commit)     └─▶ queue of pointers ─┘    └─▶ Return
//	                                              │
//	                                        Checkpoint ─▶ ring, meta, marks; old files go
//
// # What it promises
//
//   - When [Log.Put] returns nil the events are on the disk (fdatasync), names included, and can be taken.
//   - A put or a take is one transaction: after a crash all of it is there or none of it. (One that nobody was told
//     about may be there, in part if the disk wrote its pages in a wild order.)
//   - Events are taken in the order in which their transactions became safe, and inside one as they were put. After a
//     restart transactions of several directories that were on their way at the same time stand in the order in which
//     they were written. What is given back comes first again.
//   - When [Taken.Commit] returns nil the take survives the process. It survives the machine with the next sync of its
//     directory, which any put, any checkpoint or [Log.Sync] brings: to lose it means that events come twice, never
//     that they are lost, so no take waits for the disk. [Options].SyncTakes waits all the same.
//   - Nothing that can be read is ever given up for something beside it that cannot.
//
// # Group commit
//
// A transaction is encoded by its own goroutine, without a lock: no record says where it is. A lane, one for each data
// directory, has no goroutine either. Of those who wait for their transaction one writes for all, and one syncs:
//
//	A ──┬─ write A ─┬─ sync ─────────────────┬─ A done
//	B ──┼───────────┼─ waits ── write BCD ───┼─ sync ───────────┬─ BCD done
//	C ──┘           ├─ waits                 │                  │
//	D               └─ waits                 └─ E, A write …    └─ …
//
// While the disk syncs one group the next fills. What has become large, or holds a take, is written meanwhile; the rest
// waits to become one write. Before a sync the lane waits a fraction of what a sync takes for those whom the last one
// brought home, if they tend to come back at once. A commit waits only for the sync that covers it.
//
// Only under the lane's lock a record gets its IDs and its place: the write order ID and the transaction ID stand at
// fixed offsets of every record. So a [Log.Checkpoint], which takes all lanes' locks for a moment, divides all records
// into those before it and those after.
//
// # Files
//
// Numbers of protocol buffers are little-endian, all others big-endian. N counts from 1 over all directories.
//
//	data directory        in_use.lock  log-N  log-N.meta
//	checkpoint directory  in_use.lock  checkpoint  checkpoint.meta  inflightputs  inflighttakes
//	backup directory      in_use.lock  copies of those four, or checkpoint.snappy, and backupComplete
//
// log-N is records from offset 0, and then fill:
//
//	1   operation: 7F a record, 00 a void record (skip its length), 80 the end of the data
//	4   length L of the payload
//	L   payload; encrypted where the meta says so: AES in counter mode, begun anew with the file's vector every time
//
//	payload: three messages, each with a varint length before it
//	  header   1 sfixed32 kind: 1 put, 2 take, 3 rollback, 4 commit   2 sfixed64 transaction   3 sfixed64 write order
//	  body     put:    1 event { 1 header { 1 key, 2 value } …, 2 body }   2 sfixed64 CRC-32 of the body
//	           take:   1 sfixed32 number of the file   2 sfixed32 offset of the put
//	           commit: 1 sfixed32 1: of puts, 2: of takes
//	  footer   empty
//
// Fill is 80, a mebibyte at a time, written ahead of little that waits for a sync; much goes to the bare end. The next file is
// begun when position + L would be more than [Options].MaxFileSize. A transaction lies in the directory transaction
// mod directories, in one piece where a file can hold it. A file is synced before anything is written to the next.
//
// log-N.meta is one message with its length: 1 sfixed32 version 3, 2 sfixed32 N, 3 and 4 sfixed64 position and write
// order of the mark, 5 { 1 cipher, 2 key alias, 3 vector } where encrypted, 6 and 7 the mark before. Every record before
// a mark's position has at most its write order: a replay from a checkpoint at least as new begins there.
//
// checkpoint is an array of 1029 + capacity numbers of eight bytes: version 3, write order W, W again (ours: nothing was
// in flight), the home (ours: FNV-1a of the data directories, sorted, with 00 between), marker (1: half written), 1024
// that Flume does not use, and the ring: the queue's pointers, N << 32 | offset, in order, from slot head on. In the first
// of the 1024 ours has "SUM1" and the CRC-32C of the queue in order, W, size and head, eight bytes each: without it a
// flipped bit would be events that are nowhere. It counts while the second W is the first, which Flume's next checkpoint
// ends. checkpoint.meta is one message with its length: 1 sfixed32 version 3, 2 sfixed64 W, 3 sfixed32
// size, 4 sfixed32 head, 5 { 1 sfixed32 N, 2 sfixed32 events of it } for each file. inflightputs and inflighttakes are
// the MD5 of the rest; transactions (ID, count, pointers, eight bytes each); 16 zero bytes. Ours are empty: a put is
// written with its commit, and what is taken and not committed stays in the ring.
//
// checkpoint.snappy is 82 "SNAPPY" 00, two numbers 1, and chunks of at most 32768 bytes: length and snappy block.
//
// Of version 2 (Flume 1.2 and 1.3) everything is read and nothing written; its files stay as they are until they go.
//
// # Opening
//
// The directories are locked (an open-file-description lock, which a starting Flume respects; a running Flume holds none
// and is looked for in /proc). A checkpoint is chosen: the one there, else one of ours that had not got its names yet,
// else the backup, else none; one of other data files is none, for directories are shared by mistake. The records behind it are read, file by file side by side, and merged by write order, as
// Flume does; a take that comes before its put counts. All this changes nothing: [Inspect] is no more than that. Then
// every directory gets a new file, what a killed process had written is synced, what is broken is made good, and a
// checkpoint is written.
//
// IDs go on from the largest ever seen, or from the milliseconds since 1970 where that is more; file numbers from the
// largest that a name or a checkpoint has. None is used twice, not even one of a checkpoint that was never finished.
//
// # Checkpoints
//
// Ring and meta are written and synced under the names checkpoint.tmp and checkpoint.meta.tmp, then change places with
// those in use; the old ones are the room for the next. At every moment one complete pair is there, and a disk that is
// full can take another. An event keeps its slot, its position modulo the slots, from one checkpoint to the next, so
// that only what has come since a file was last written goes into it; the first time that a run writes a file it writes
// all. Marks follow, then the backup, then the files go that the checkpoint before did not need: those that were left
// before any file was begun that has an event, is being written to, or the backup needs, but for the last two of a
// directory. (A file that was left later may have the takes of what another directory still has.)
// Between the renames Flume would see a mixed pair and replay everything, which is safe.
//
// # How it fails
//
//   - A write that the end of a run has cut off, so that nothing follows it and its end was not written, is the end of
//     its file: one byte 80 makes it so for Flume too. Only the last file of a directory that has records can end like
//     that; of an earlier one, and of one that its meta says was longer, such an end is damage.
//   - A file log-N without a meta that does not begin with a record, and that no checkpoint names, is passed over.
//   - What a checkpoint has in a file that has no record of it is lost and told in [Recovery].Strange.
//   - A damaged record before others is set aside ([Options].SetAside), made void, and told in [Recovery].Damaged. Where
//     its length cannot be believed the next record is looked for.
//   - Puts whose commit may have been that record are in the log, after everything else, and in [Recovery].Doubtful;
//     they get a commit.
//   - An event that cannot be read when its turn comes is set aside then.
//   - With [Options].Strict the log is refused instead, and a take that meets damage fails.
//   - A write that fails is cut off again; a sync that fails casts doubt on everything since the last, so that all that
//     is refused, the file is cut there, and the lane goes on in a new one. No restart is needed. What was refused may
//     come back where the file did not let itself be cut, or the power goes before the disk has that; takes that no sync
//     had covered come again if the process ends before the next checkpoint.
//   - On a full disk (see [IsFull]) puts fail, and takes do not: until a record fits again the next checkpoint, for which
//     room is kept also while no process runs, says what was taken.
//   - When another process has locked one of the directories puts and checkpoints fail until the log is opened again.
//   - More events than the capacity, after the capacity was made smaller or takes have come back, are no obstacle: they
//     can be taken, and nothing can be put until there is room.
package wal
