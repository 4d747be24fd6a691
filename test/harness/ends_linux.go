package harness

import "syscall"

// EndsWithTest has a process end with the test; group gives it a process group of its own.
func EndsWithTest(group bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: group}
}
