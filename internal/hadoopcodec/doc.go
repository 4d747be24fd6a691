// Package hadoopcodec compresses files as Hadoop does, under the names that Flume's hdfs.codeC takes.
package hadoopcodec
