package hdfs

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/hdfs"
)

// A place is where the files of a bucket lie.
type place struct {
	root string // hdfs://host:port
	dir  string // absolute there, clean
	base string // of the names; no slash
}

// locate reads what the templates of hdfs.path and hdfs.filePrefix have made. The error is one that no repetition cures.
func locate(dir, base string, c *hdfs.Conf) (place, error) {
	dir, base = strings.ToValidUTF8(dir, "\uFFFD"), strings.ToValidUTF8(base, "\uFFFD")
	root, name, err := hdfs.Split(dir, c)
	if err != nil {
		return place{}, err
	}
	if err := schemes(root); err != nil {
		return place{}, err
	}
	name += "/" + base // a slash in the prefix makes directories
	if slices.Contains(strings.Split(name, "/"), "..") {
		return place{}, fmt.Errorf("the path %q leaves its directory by \"..\"", name)
	}
	last := name[strings.LastIndexByte(name, '/')+1:]
	dir = path.Clean(name[:len(name)-len(last)])
	switch {
	case strings.ContainsAny(name, "\x00\n"):
		return place{}, fmt.Errorf("the path %q has a byte that no name may have", name)
	case strings.Contains(name, ":") && strings.HasPrefix(root, "hdfs:"):
		return place{}, fmt.Errorf("the path %q has a colon, which HDFS takes in no name", name)
	case last == "." || last == "" && dir == "/":
		return place{}, errors.New("the path has no file name")
	}
	return place{root, dir, last}, nil
}

// names are those of the n-th file of a bucket: while it is written to, and then.
func (k *sink) names(p place, n int64) (inUse, final string) {
	name := p.base + "." + strconv.FormatInt(n, 10) + k.extension
	return path.Join(p.dir, k.settings.inUsePrefix+name+k.settings.inUseSuffix), path.Join(p.dir, name)
}

// key appends what tells an event's bucket from others: directory, a zero byte, the beginning of the name.
func (k *sink) key(dst []byte, h flume.Headers, now time.Time) ([]byte, error) {
	dst, err := k.settings.dir.Append(dst, h, now)
	if err != nil {
		return dst, err
	}
	return k.settings.base.Append(append(dst, 0), h, now)
}

func cutKey(key []byte) (dir, base string) {
	d, b, _ := bytes.Cut(key, []byte{0})
	return string(d), string(b)
}
