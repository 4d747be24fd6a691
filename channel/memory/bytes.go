package memory

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// unset stands for a byteCapacity that the file does not have.
	unset = math.MinInt64
	// endless is the number of slots that Flume takes for a byteCapacity that makes less than one: about 200 GB.
	endless = math.MaxInt32
	// least is Flume's own default: 80 % of the 20 MiB of heap that its launcher gives.
	least = 16 << 20
	// share of the memory that one channel may fill. The garbage collector lets twice as much stand, and an agent has
	// a few channels.
	share = 8
	// assumed is the memory of a machine that does not say.
	assumed = 1 << 30
)

// limit is the room that the settings give.
func (s *Settings) limit() limit {
	bytes := s.ByteCapacity
	if bytes == unset {
		bytes = max(least, memory("/")/share)
	}
	slots := float64(bytes) * (1 - float64(s.BufferPercentage)/100) / float64(s.SlotSize)
	r := room{events: s.Capacity, slots: endless, bytes: endless * 100}
	if slots >= 1 && slots < endless {
		r.slots = int64(slots)
	}
	if bytes > 0 {
		r.bytes = bytes
	}
	return limit{r, s.SlotSize, s.capacityKey}
}

// memory is what the process may use: the least of GOMEMLIMIT, the machine's memory and the limits of its control
// groups. Files are looked up below root.
func memory(root string) int64 {
	total := debug.SetMemoryLimit(-1)
	if kib, ok := field(root+"proc/meminfo", "MemTotal:"); ok {
		total = min(total, kib<<10)
	}
	for _, file := range groupFiles(root) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			total = min(total, n)
		}
	}
	if total == math.MaxInt64 {
		return assumed
	}
	return total
}

// field reads the number behind a name such as MemTotal:.
func field(file, name string) (int64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) >= 2 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// groupFiles are the places of memory limits, of both versions of control groups: those of the process's group and of
// each group around it. Inside a container the innermost one stands at the root.
func groupFiles(root string) []string {
	text, err := os.ReadFile(root + "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(text)) {
		// 0::/system.slice/flume.service, or 4:memory:/user.slice
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		base, name := root+"sys/fs/cgroup", "memory.max"
		switch {
		case parts[1] == "memory":
			base, name = base+"/memory", "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			files = append(files, path.Join(base, group, name))
			if group == "/" {
				break
			}
		}
	}
	return files
}
