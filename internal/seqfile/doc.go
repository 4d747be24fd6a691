// Package seqfile writes Hadoop's SequenceFiles as Flume's HDFS sink does, reads them, and finds where a torn one ends.
package seqfile
