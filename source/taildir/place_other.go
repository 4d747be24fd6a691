//go:build unix && !linux

package taildir

import (
	"io/fs"
	"os"
	"syscall"
)

// stat looks at what a path leads to.
func stat(path string) (info, error) { return inode(os.Stat(path)) }

// statOpen looks at an open file, whatever has become of its name.
func statOpen(f *os.File) (info, error) { return inode(f.Stat()) }

// inode knows of no time of birth: what tells a new file with an old inode apart is its content alone.
func inode(fi fs.FileInfo, err error) (info, error) {
	if err != nil {
		return info{}, err
	}
	out := info{size: fi.Size(), changed: fi.ModTime().UnixNano(), links: 1, regular: fi.Mode().IsRegular()}
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		out.device, out.inode, out.links = uint64(s.Dev), s.Ino, uint64(s.Nlink) //nolint:unconvert // the types differ between systems
	}
	return out, nil
}
