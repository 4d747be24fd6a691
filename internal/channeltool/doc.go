// Package channeltool looks after file channels that nobody has open, and looks at those that somebody has: it finds
// the directories of one, says what they hold, repairs them, and takes the events out.
//
//	directories ─▶ Find ─▶ wal.Options ─┬─▶ Examine   ─▶ Findings   reads; not even a lock is taken
//	                                    ├─▶ Export    ─▶ Output     reads
//	                                    ├─▶ Repair    ─▶ Repaired   locks
//	                                    └─▶ Drain     ─▶ Output     locks; an event goes when it is safe in the output
//	data directories ─▶ CheckIntegrity                              what Flume's FCINTEGRITYTOOL does; locks
//
// Damage is what was written whole and can no longer be read, and events whose file is gone. What the end of a run cut
// off is none: nobody was told that it was good, and the next start puts it in order.
//
// Memory: what a replay needs, 8 bytes an event, and one batch of events.
package channeltool
