// Package vfs is the little of a file system that a log needs, behind an interface, so that tests can lose power.
//
//	wal ─▶ vfs.FS ─┬─▶ OS      the machine's files: fdatasync, directory syncs, real locks
//	               └─▶ Memory  files in memory that remember what has been synced and what has not
//
// What a caller may rely on after a power cut, and what [Memory] takes away from those who rely on more:
//
//   - The bytes of a file, and its length, are safe after [File.Sync]. Before that any page of them may be lost, in any
//     order: a later write may be there and an earlier one not.
//   - A name is safe after [FS.SyncDir] of its directory: creating, renaming and removing are changes of the directory,
//     not of the file. Before that any of them may be lost, a later one without the earlier.
//   - Renaming over a file that is there is atomic: afterwards the name means the one or the other.
//   - A directory that MkdirAll made is safe at once (OS syncs the parents).
//
// Every method may be called from many goroutines. Two writes that overlap are the caller's own mistake.
package vfs
