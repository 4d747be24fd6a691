//go:build unix

package deadletter

import (
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives a file that root has made in the directory of somebody else to its owner, whose agent could not write it
// any more.
func keepOwner(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	}
	return nil
}
