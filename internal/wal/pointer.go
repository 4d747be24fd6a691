package wal

import "fmt"

// A Pointer says where an event's put record begins: the number of the data file in the upper half, the offset of the
// operation byte in the lower. 0 points nowhere: files are numbered from 1.
type Pointer int64

func pointer(file uint32, offset int64) Pointer { return Pointer(int64(file)<<32 | offset) }

// File is the number of the data file.
func (p Pointer) File() uint32 { return uint32(uint64(p) >> 32) }

// Offset is where in the file the record begins.
func (p Pointer) Offset() int64 { return int64(uint32(p)) }

func (p Pointer) String() string { return fmt.Sprintf("log-%d:%d", p.File(), p.Offset()) }
