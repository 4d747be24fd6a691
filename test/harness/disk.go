package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A Disk is a small file system that agents can fill. It is mounted in a name space of its own, which a process holds:
// so it goes with the test, however that ends, and nobody else sees it. Where the machine allows no mount, the test
// fails.
type Disk struct {
	Dir string // where the agents see it

	holder int // the process whose name spaces the agents enter
	user   bool
}

// Disk mounts a file system of so many bytes.
func (s *Stage) Disk(t testing.TB, size int64) *Disk {
	t.Helper()
	d := &Disk{Dir: filepath.Join(s.Dir, "disk"), user: os.Getuid() != 0}
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-m", "--propagation", "private"}
	if d.user {
		args = append(args, "-U", "-r")
	}
	args = append(args, "sh", "-c", `mount -t tmpfs -o "size=$1" sluice "$2" && echo mounted && exec cat`, "sh", strconv.FormatInt(size, 10), d.Dir)
	cmd := exec.Command("unshare", args...)
	cmd.SysProcAttr = EndsWithTest(false)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("mounting a small disk (it needs unshare and nsenter of util-linux): %v", err)
	}
	said, _ := bufio.NewReader(out).ReadString('\n')
	if said != "mounted\n" {
		_ = in.Close()
		t.Fatalf("mounting a small disk (it needs root, or user name spaces): %v\n%s", cmd.Wait(), &complaints)
	}
	d.holder = cmd.Process.Pid
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return d
}

// inside makes the command run where the disk is.
func (d *Disk) inside(cmd *exec.Cmd) *exec.Cmd {
	if d == nil {
		return cmd
	}
	args := []string{"-t", strconv.Itoa(d.holder), "-m", "-w" + filepath.Dir(d.Dir)}
	if d.user {
		args = append(args, "-U", "--preserve-credentials")
	}
	return exec.Command("nsenter", append(append(args, "--"), cmd.Args...)...)
}

// path is where this process finds a file of the disk.
func (d *Disk) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(d.holder), "root", d.Dir, name)
}

// Fill writes a file until only so many bytes are free.
func (d *Disk) Fill(leave int64) error {
	f, err := os.OpenFile(d.path("filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("filling the disk: %w", err)
	}
	defer f.Close()
	for {
		free, err := d.Free()
		if err != nil {
			return err
		}
		if free <= leave {
			return nil
		}
		if _, err := io.CopyN(f, zeros{}, free-leave); err != nil {
			return fmt.Errorf("filling the disk: %w", err)
		}
	}
}

// Clear makes the space free again that Fill has taken.
func (d *Disk) Clear() error { return os.Remove(d.path("filler")) }

// Free is how many bytes are free.
func (d *Disk) Free() (int64, error) {
	free, err := vfs.OS{}.Free(d.path(""))
	if err != nil {
		return 0, fmt.Errorf("asking how much is free: %w", err)
	}
	return free, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Peers runs the tool with the servers' data on the disk.
func (d *Disk) Peers(t testing.TB, s *Stage, limit time.Duration, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := d.inside(exec.CommandContext(ctx, filepath.Join(s.Root, "test", "peers", "peers"), args...))
	cmd.Env = append(slices.Clone(s.env), "PEERS_DATA="+d.Dir)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
