package vfs

import (
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A Memory is a file system in memory, for tests. It knows of every file and directory what is safe and what has been
// done since, so that [Memory.Crash] can make up what a power cut would leave.
type Memory struct {
	// Before, where set, is asked before every change; an error is returned instead of making it. After is told when
	// it has been made. Both are set before the first use.
	Before func(Op) error
	After  func(Op)

	mu    sync.Mutex
	limit int64 // bytes all files together may take; 0: no limit
	used  int64 // what they take, in blocks
	dirs  map[string]*memoryDir
	locks map[string]Process
	users []Process
}

var _ FS = (*Memory)(nil)

// An OpKind is a kind of change.
type OpKind int

// The changes that a Memory tells of.
const (
	OpCreate OpKind = iota
	OpRename
	OpRemove
	OpSyncDir
	OpWrite
	OpTruncate
	OpSync
	OpAllocate
)

func (k OpKind) String() string {
	return [...]string{"create", "rename", "remove", "syncdir", "write", "truncate", "sync", "allocate"}[k]
}

// An Op is one change: what a system call would be.
type Op struct {
	Kind OpKind
	Path string
	Off  int64 // of a write; the new length of a truncate
	Len  int
}

type memoryDir struct {
	now, safe map[string]*inode
	shared    bool // now is also safe: copy before changing
	pending   []dirOp
}

// A dirOp puts ino under the name to ("" for none) and takes the name from away ("" for none).
type dirOp struct {
	from, to string
	ino      *inode
}

type inode struct {
	now, safe []byte
	shared    bool // now is also safe, or another file system's: copy before writing
	torn      bool // a sync has failed: safe has not all of now even when nothing is pending
	pending   []fileOp
}

type fileOp struct {
	off      int64
	data     []byte
	truncate bool // to off
}

// NewMemory returns an empty file system.
func NewMemory() *Memory {
	return &Memory{dirs: map[string]*memoryDir{}, locks: map[string]Process{}}
}

// block is the unit in which a file takes room.
const block = 512

func blocks(n int) int64 { return int64(n+block-1) / block * block }

// Limit sets how many bytes the files may take together, in blocks of 512; a write beyond it writes what there is room
// for and is ENOSPC. 0 is no limit.
func (m *Memory) Limit(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

// Used is the number of bytes that the files take together.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// LockAs makes p, another process, hold the lock name.
func (m *Memory) LockAs(name string, p Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locks[filepath.Clean(name)] = p
}

// OpenAs makes p, another process, have the file p.File open.
func (m *Memory) OpenAs(p Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users = append(m.users, p)
}

func (m *Memory) before(op Op) error {
	if m.Before != nil {
		return m.Before(op)
	}
	return nil
}

func (m *Memory) after(op Op) {
	if m.After != nil {
		m.After(op)
	}
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// find returns the directory of name and its base; the lock is held.
func (m *Memory) find(op, name string) (*memoryDir, string, error) {
	if i := strings.LastIndexByte(name, '/'); i > 0 && i+1 < len(name) && name[i+1] != '.' {
		if d := m.dirs[name[:i]]; d != nil { // whose names are clean
			return d, name[i+1:], nil
		}
	}
	name = filepath.Clean(name)
	d := m.dirs[filepath.Dir(name)]
	if d == nil {
		return nil, "", pathError(op, name, fs.ErrNotExist)
	}
	return d, filepath.Base(name), nil
}

func (m *Memory) lookup(op, name string) (*inode, error) {
	d, base, err := m.find(op, name)
	if err != nil {
		return nil, err
	}
	ino := d.now[base]
	if ino == nil {
		return nil, pathError(op, name, fs.ErrNotExist)
	}
	return ino, nil
}

// Open implements [FS].
func (m *Memory) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ino, err := m.lookup("open", name)
	if err != nil {
		return nil, err
	}
	return &memoryFile{m: m, ino: ino, path: name, readOnly: true}, nil
}

// OpenWrite implements [FS].
func (m *Memory) OpenWrite(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ino, err := m.lookup("open", name)
	if err != nil {
		return nil, err
	}
	return &memoryFile{m: m, ino: ino, path: name}, nil
}

// change runs do, which alters the directory that name is in, between the two hooks.
func (m *Memory) change(op Op, do func(d *memoryDir, base string) error) error {
	if err := m.before(op); err != nil {
		return pathError(op.Kind.String(), op.Path, err)
	}
	err := func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		d, base, err := m.find(op.Kind.String(), op.Path)
		if err != nil {
			return err
		}
		return do(d, base)
	}()
	if err == nil {
		m.after(op)
	}
	return err
}

// Create implements [FS].
func (m *Memory) Create(name string) (File, error) {
	ino := &inode{}
	err := m.change(Op{Kind: OpCreate, Path: name}, func(d *memoryDir, base string) error {
		if d.now[base] != nil || m.dirs[filepath.Clean(name)] != nil {
			return pathError("create", name, fs.ErrExist)
		}
		d.do(dirOp{to: base, ino: ino})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &memoryFile{m: m, ino: ino, path: name}, nil
}

// Rename implements [FS], within one directory.
func (m *Memory) Rename(from, to string) error {
	return m.change(Op{Kind: OpRename, Path: from}, func(d *memoryDir, base string) error {
		if filepath.Dir(filepath.Clean(from)) != filepath.Dir(filepath.Clean(to)) {
			return pathError("rename", from, syscall.EXDEV)
		}
		ino := d.now[base]
		if ino == nil {
			return pathError("rename", from, fs.ErrNotExist)
		}
		if over := d.now[filepath.Base(to)]; over != nil && over != ino {
			m.used -= blocks(len(over.now))
		}
		d.do(dirOp{from: base, to: filepath.Base(to), ino: ino})
		return nil
	})
}

// Remove implements [FS].
func (m *Memory) Remove(name string) error {
	return m.change(Op{Kind: OpRemove, Path: name}, func(d *memoryDir, base string) error {
		ino := d.now[base]
		if ino == nil {
			return pathError("remove", name, fs.ErrNotExist)
		}
		m.used -= blocks(len(ino.now))
		d.do(dirOp{from: base})
		return nil
	})
}

func (d *memoryDir) do(op dirOp) {
	if d.shared {
		d.now, d.shared = maps.Clone(d.now), false
	}
	op.apply(d.now)
	d.pending = append(d.pending, op)
}

func (op dirOp) apply(names map[string]*inode) {
	if op.from != "" {
		delete(names, op.from)
	}
	if op.to != "" {
		names[op.to] = op.ino
	}
}

// MkdirAll implements [FS].
func (m *Memory) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if m.dirs[d] == nil {
			m.dirs[d] = &memoryDir{now: map[string]*inode{}, safe: map[string]*inode{}}
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// List implements [FS].
func (m *Memory) List(dir string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	d := m.dirs[dir]
	if d == nil {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	var out []Entry
	for name, ino := range d.now {
		out = append(out, Entry{Name: name, Size: int64(len(ino.now))})
	}
	for sub := range m.dirs {
		if sub != dir && filepath.Dir(sub) == dir {
			out = append(out, Entry{Name: filepath.Base(sub), Dir: true})
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Stat implements [FS].
func (m *Memory) Stat(name string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirs[filepath.Clean(name)] != nil {
		return Entry{Name: filepath.Base(name), Dir: true}, nil
	}
	ino, err := m.lookup("stat", name)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: filepath.Base(name), Size: int64(len(ino.now))}, nil
}

// SyncDir implements [FS].
func (m *Memory) SyncDir(dir string) error {
	return m.change(Op{Kind: OpSyncDir, Path: filepath.Join(dir, ".")}, func(*memoryDir, string) error {
		d := m.dirs[filepath.Clean(dir)]
		if d == nil {
			return pathError("syncdir", dir, fs.ErrNotExist)
		}
		if len(d.pending) > 0 {
			d.safe, d.shared, d.pending = d.now, true, nil
		}
		return nil
	})
}

// Free implements [FS].
func (m *Memory) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limit == 0 {
		return math.MaxInt64, nil
	}
	return max(0, m.limit-m.used), nil
}

type memoryLock struct {
	m    *Memory
	path string
	ino  *inode
}

// Lock implements [FS].
func (m *Memory) Lock(name string) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.find("lock", name)
	if err != nil {
		return nil, err
	}
	name = filepath.Clean(name)
	if p, held := m.locks[name]; held {
		return nil, &LockedError{Path: name, Holder: p}
	}
	m.locks[name] = Process{}
	if d.now[base] == nil {
		d.do(dirOp{to: base, ino: &inode{}})
	}
	return &memoryLock{m, name, d.now[base]}, nil
}

// Held implements [Lock].
func (l *memoryLock) Held() bool {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	ino, err := l.m.lookup("stat", l.path)
	return err == nil && ino == l.ino
}

// Release implements [Lock].
func (l *memoryLock) Release() error {
	held := l.Held()
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.path)
	if held {
		d, base, err := l.m.find("unlock", l.path)
		if err != nil {
			return err
		}
		d.do(dirOp{from: base})
	}
	return nil
}

// Users implements [FS].
func (m *Memory) Users(dir string, match func(base string) bool) []Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Process
	for _, p := range m.users {
		if filepath.Dir(p.File) == filepath.Clean(dir) && match(filepath.Base(p.File)) {
			out = append(out, p)
		}
	}
	return out
}
