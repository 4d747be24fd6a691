package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Resident is the resident memory of a process in bytes.
func Resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the process's status: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("reading the process's status: it has no VmRSS")
}

// CPU is the processor time that a process has used, in user and system mode.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the process's times: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name in parentheses may hold blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the process's times: %q", text)
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second on Linux
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the process's times: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// Hardware describes the machine in a line.
func Hardware() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		line, _, _ := strings.Cut(string(text), "\n")
		if f := strings.Fields(line); len(f) > 1 {
			if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				memory = fmt.Sprintf(", %d GB", (kb+1<<19)>>20)
			}
		}
	}
	return fmt.Sprintf("%s, %d cores%s, %s/%s, %s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// DeadLetters lists the files of the agent's dead letters.
func (a *Agent) DeadLetters() ([]string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(a.Home, "data"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".avro") {
			files = append(files, path)
		}
		return err
	})
	if os.IsNotExist(err) {
		return nil, nil
	}
	return files, err
}
