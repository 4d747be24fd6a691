//go:build !linux

package harness

import "syscall"

// EndsWithTest is for systems where a process does not end with the test that was killed.
func EndsWithTest(group bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: group} }
