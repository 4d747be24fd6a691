//go:build unix

package channeltool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives what root has made in directories of somebody else to their owner, who could not open the channel any
// more. The quarantine goes to the owner of the first.
func keepOwner(quarantine string, dirs ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var errs []error
	for i, dir := range dirs {
		owner, err := ownerOf(dir)
		if err != nil || owner == nil || owner.Uid == 0 {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, giveTo(dir, owner))
		if q, err := ownerOf(quarantine); i == 0 && q != nil && q.Uid == 0 {
			errs = append(errs, err, os.Chown(quarantine, int(owner.Uid), int(owner.Gid)), giveTo(quarantine, owner))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("giving files of root to the owner of their directory: %w", err)
	}
	return nil
}

// ownerOf returns nil for what is not there.
func ownerOf(path string) (*syscall.Stat_t, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	return owner, nil
}

func giveTo(dir string, owner *syscall.Stat_t) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if is, err := ownerOf(path); err != nil || is != nil && is.Uid == 0 {
			errs = append(errs, err, os.Lchown(path, int(owner.Uid), int(owner.Gid)))
		}
	}
	return errors.Join(errs...)
}
