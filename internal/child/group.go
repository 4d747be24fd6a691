package child

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// buried reports whether all that is left of a process group is dead and waits only for its parent, or init, to take
// note of it, which some take seconds for and some never do. Where there is no /proc the answer is no.
func buried(group int) bool {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		return false
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended just now
		}
		state, in := stat(b)
		if in == group && state != 'Z' && state != 'X' {
			return false
		}
	}
	return true
}

// stat finds the state and the group in "PID (NAME) STATE PARENT GROUP …"; the name may hold anything.
func stat(b []byte) (state byte, group int) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 3 {
		return 'X', 0
	}
	group, _ = strconv.Atoi(string(fields[2])) // 0, of no program of ours, for what is no number
	return fields[0][0], group
}
