package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// forget drops a file from the system's cache.
func forget(f *os.File) error {
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("dropping %s from the cache: %w", f.Name(), err)
	}
	return nil
}
