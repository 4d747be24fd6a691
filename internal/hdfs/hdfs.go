package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"strings"
	"time"
)

// A FS is a file system that can hold a sink's files. Paths are absolute and slash-separated. Errors answer errors.Is
// for fs.ErrNotExist, fs.ErrExist and fs.ErrPermission. All methods may be called from many goroutines; each ends when
// its context does, and by itself after Options.CallTimeout where no context says less.
type FS interface {
	// Create makes an empty file, and the directories above it, in place of one that is there unless the options say New.
	Create(ctx context.Context, name string, o CreateOptions) (File, error)
	// Append opens a closed file at its end.
	Append(ctx context.Context, name string) (File, error)
	// Open reads a file from offset on; of one that is still written to, what was flushed. Its checksums are verified.
	// The context holds for the reader's life.
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	// Rename never replaces: fs.ErrExist if something is there already.
	Rename(ctx context.Context, from, to string) error
	// Delete of what is not there is no error.
	Delete(ctx context.Context, name string, recursive bool) error
	// Mkdirs makes a directory and those above it.
	Mkdirs(ctx context.Context, name string) error
	Stat(ctx context.Context, name string) (Info, error)
	// List gives the entries of a directory in the order of their names.
	List(ctx context.Context, dir string) iter.Seq2[Info, error]
	// Recover takes a file away from a writer that is gone, or that lost it, and closes it. It waits for that. All that
	// was flushed is in it; bytes that were not may follow.
	Recover(ctx context.Context, name string) (Info, error)
	// Truncate cuts a closed file, and waits until it can be appended to.
	Truncate(ctx context.Context, name string, size int64) error
	// Close abandons the files that are open.
	Close() error
}

// A File is open for writing, by one goroutine at a time.
//
// A call whose context ends has not broken the file: what Write counted is on its way, and the call may be made again.
// An error that is [ErrLost] is the end of the file: Abandon it, Recover it, and go on from Acked.
type File interface {
	// Write takes bytes and says how many. They are safe after Flush.
	Write(ctx context.Context, p []byte) (int, error)
	// Flush returns nil when all bytes that were written are as safe as it was asked for.
	Flush(ctx context.Context, d Durability) error
	// Size counts the bytes of the file: those that were there and those that Write took.
	Size() int64
	// Acked counts the bytes, from the beginning of the file, that are as safe as Hflush makes them.
	Acked() int64
	// Replicas counts the nodes that hold the end of the file now.
	Replicas() int
	// Close flushes and returns nil when the file system has confirmed that the file is whole.
	Close(ctx context.Context) error
	// Abandon lets go without closing; Recover may close the file later. After Close it does nothing.
	Abandon()
}

// Durability is how safe a flush makes the bytes.
type Durability int

const (
	Hflush Durability = iota // in the memory of every DataNode of the pipeline, and visible to readers; what Flume does
	Hsync                    // on their disks; a node that joins later syncs what it was given with the next one
)

// CreateOptions are what a file is made with; zero means the file system's own.
type CreateOptions struct {
	Replication int
	BlockSize   int64
	Permission  fs.FileMode // before the umask; 0 is 0644
	New         bool        // fs.ErrExist if something is there already
}

// Info describes a file or a directory.
type Info struct {
	Name        string // the last part of its path
	Size        int64  // of a file that is written to: without its last block
	Dir         bool
	Modified    time.Time
	Owner       string
	Group       string
	Permission  fs.FileMode
	Replication int
	BlockSize   int64
}

// ErrLost is the end of an open file, not of what was flushed into it.
var ErrLost = errors.New("the file cannot be written on")

// Options are what all files of a file system share.
type Options struct {
	Conf        *Conf         // Hadoop's own settings; nil: their defaults
	User        string        // whose files they are; "": HADOOP_USER_NAME, else the user of the process
	ProxyUser   string        // act as that user
	Login       Login         // nil: without authentication
	CallTimeout time.Duration // for a call, with its retries; 0: 30 s
	Buffer      int           // bytes that all files together may have under way; 0: 64 MB
	Log         *slog.Logger  // nil: slog.Default
}

// Split cuts a path as users write it into the file system it lies on and the path there. A path without a scheme lies
// on fs.defaultFS.
func Split(path string, c *Conf) (root, name string, err error) {
	if strings.HasPrefix(path, "/") {
		root = strings.TrimRight(c.Get("fs.defaultFS", c.Get("fs.default.name", "file:///")), "/")
		if root == "file:" {
			root = "file://"
		}
		return root, path, nil
	}
	scheme, rest, ok := strings.Cut(path, ":")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/%") || !strings.HasPrefix(rest, "/") {
		return "", "", fmt.Errorf("the path %q is neither absolute nor one with a scheme, such as hdfs://namenode:8020/flume", path)
	}
	authority := ""
	if r, ok := strings.CutPrefix(rest, "//"); ok {
		i := strings.IndexByte(r, '/')
		if i < 0 {
			i = len(r)
		}
		authority, rest = r[:i], r[i:]
	}
	if rest == "" {
		rest = "/"
	}
	if authority == "" && scheme == "hdfs" { // hdfs:/path and hdfs:///path
		def, ok := strings.CutPrefix(c.Get("fs.defaultFS", ""), "hdfs://")
		if !ok {
			return "", "", fmt.Errorf("the path %q names no NameNode, and neither does fs.defaultFS of the Hadoop configuration", path)
		}
		authority = strings.TrimRight(def, "/")
	}
	return scheme + "://" + authority, rest, nil
}

// Open returns the file system with this root, as Split gives it. It connects when it is first used.
func Open(root string, o Options) (FS, error) {
	if o.Conf == nil {
		o.Conf = NewConf()
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 30 * time.Second
	}
	if o.Buffer <= 0 {
		o.Buffer = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	scheme, authority, _ := strings.Cut(root, "://")
	switch scheme {
	case "file":
		return local{}, nil
	case "hdfs":
		return newClient(authority, o)
	}
	return nil, fmt.Errorf("no file system for %s: the schemes are hdfs and file", root)
}
