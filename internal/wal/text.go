package wal

import "unsafe"

// text is b as a string without copying it; nobody changes b afterwards.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
