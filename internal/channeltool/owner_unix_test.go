//go:build unix

package channeltool

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What root makes belongs to whom the directory belongs to: else the agent could not start any more.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir, o, _ := goldenNamed(t, "corrupt-put-in-the-middle")
	const somebody = 4711
	if err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, somebody, somebody))
	}); err != nil {
		t.Fatal(err)
	}
	x, err := Examine(o, Everything, silent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(o, QuarantineOf(o.CheckpointDir), x); err != nil {
		t.Fatal(err)
	}
	drain(t, o, 1)
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != somebody {
			t.Errorf("%s belongs to somebody else", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
