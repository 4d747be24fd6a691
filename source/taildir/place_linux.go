package taildir

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// stat looks at what a path leads to.
func stat(path string) (info, error) {
	return statx(unix.AT_FDCWD, path, 0)
}

// statOpen looks at an open file, whatever has become of its name.
func statOpen(f *os.File) (info, error) {
	return statx(int(f.Fd()), "", unix.AT_EMPTY_PATH)
}

func statx(dir int, path string, flags int) (info, error) {
	var s unix.Statx_t
	for {
		err := unix.Statx(dir, path, flags|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &s)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return info{}, &fs.PathError{Op: "statx", Path: path, Err: err}
		}
	}
	out := info{
		place:   place{device: unix.Mkdev(s.Dev_major, s.Dev_minor), inode: s.Ino},
		size:    int64(s.Size),
		changed: s.Mtime.Sec*1e9 + int64(s.Mtime.Nsec),
		touched: s.Ctime.Sec*1e9 + int64(s.Ctime.Nsec),
		links:   uint64(s.Nlink),
		regular: s.Mode&unix.S_IFMT == unix.S_IFREG,
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		out.born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return out, nil
}
