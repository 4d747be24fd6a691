package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is a process's resident memory in MB.
type memory struct {
	all, anonymous, file, peak float64
}

func resident(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, fmt.Errorf("reading a process's status: %w", err)
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
		switch key {
		case "VmRSS":
			m.all = kb / 1e3 * 1.024
		case "RssAnon":
			m.anonymous = kb / 1e3 * 1.024
		case "RssFile":
			m.file = kb / 1e3 * 1.024
		case "VmHWM":
			m.peak = kb / 1e3 * 1.024
		}
	}
	return m, nil
}

// forgetPeak has the peak of a process's memory begin anew.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// fromDisk is how many bytes a process has had read from the disk.
func fromDisk(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, fmt.Errorf("reading what a process has read: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "read_bytes: "); ok {
			return strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return 0, errors.New("reading what a process has read: it is not told")
}

// files are the regular files below dir and their bytes.
func files(dir string) (paths []string, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		paths = append(paths, path)
		bytes += info.Size()
		return nil
	})
	return paths, bytes, err
}

// chill drops the files below dir from the system's cache, so that who reads them reads the disk. It needs no rights
// and touches nobody else's files.
func chill(dir string) error {
	paths, _, err := files(dir)
	if err != nil {
		return err
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err = f.Sync(); err == nil { // dirty pages stay
			err = forget(f)
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
