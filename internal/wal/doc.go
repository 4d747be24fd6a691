// Package wal is the log of Flume's file channel, read and written in Flume's own format (V3; V2 is read), so that real
// Flume opens what it wrote and it opens what real Flume wrote. It is the foundation of the file channel and knows nothing
// of channels: it keeps batches of events in the order of their commits until they are taken.
//
//	Put ─▶ lane ─▶ one write, one sync for all who wait ─▶ queue of pointers ─▶ Take ─▶ Commit
//	                                                      └─▶ checkpoint, cut now and then, so that opening reads the tail only
//
// A put is acknowledged when the sync that covers it is over. What was taken needs no sync of its own: a take that is
// lost with the power is a repetition, never a loss. Damage is set aside with its place and the rest goes on, unless the
// options ask for strictness. Everything goes through package vfs, so that tests can lose the power between any two
// system calls.
package wal
