package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sluice-io/sluice/internal/vfs"
)

// CheckFiles reads every record of the data files and no checkpoint. With mend it locks the directories that o names, the
// CheckpointDir may be none, and makes the files sound as [Open] does. But a record that may be the commit of puts which
// have no other is left: made void it would take their events along when a replay has no checkpoint. Open, which comes
// across it then, commits them.
func CheckFiles(f vfs.FS, o Options, mend bool) (out []FileReport, err error) {
	if len(o.DataDirs) == 0 {
		return nil, errors.New("no data directory is named")
	}
	if o.Keys != nil {
		o.Keys = &keyring{from: o.Keys, keys: map[string][]byte{}}
	}
	l := &Log{fsys: f, o: o}
	if mend {
		defer func() { err = errors.Join(err, l.unlock()) }()
		if err := l.takeLocks(); err != nil {
			return nil, err
		}
	}
	list, err := listFiles(f, &o)
	if err != nil {
		return nil, err
	}
	c := &check{put: map[checkedTx]uint32{}, before: map[uint32]uint32{}}
	newest := map[int]uint32{}
	for _, d := range list.files {
		c.before[d.id] = newest[d.dir]
		newest[d.dir] = d.id
		fr, err := c.read(f, d)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", d.path, err)
		}
		out = append(out, fr)
	}
	for i, d := range list.files {
		s := &fileScan{file: d, end: out[i].Data}
		s.cut = slices.Contains(c.torn, d)
		for _, b := range c.damage {
			switch {
			case b.file != d:
			case slices.ContainsFunc(b.puts, c.open):
				out[i].Left = append(out[i].Left, s.damageOf(b.bad))
			default:
				s.damage = append(s.damage, b.bad)
			}
		}
		if mend {
			x := &found{got: &replayed{scans: []*fileScan{s}}}
			if err := errors.Join(l.endTorn(x), l.repair(x)); err != nil {
				return nil, err
			}
			if d.lacks > 0 && d.version != 2 && len(out[i].Left) == 0 {
				if err := writeMeta(f, d); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// A check is CheckFiles at work.
type check struct {
	put    map[checkedTx]uint32 // transactions of puts without an end, and the file of their last record
	before map[uint32]uint32    // the data file before in the same directory
	damage []checkedDamage
	torn   []*dataFile // that end in a write that was cut off
}

// A checkedTx is a transaction in a data directory.
type checkedTx struct {
	dir int
	tx  int64
}

// A checkedDamage is a damaged record and the transactions of puts that it may have committed.
type checkedDamage struct {
	file *dataFile
	bad  *badRecord
	puts []checkedTx
}

func (c *check) open(t checkedTx) bool {
	_, ok := c.put[t]
	return ok
}

func (c *check) read(f vfs.FS, d *dataFile) (FileReport, error) {
	fr := FileReport{Path: d.path, Version: d.version, Size: d.size, Key: d.meta.keyAlias, Counted: true}
	r, err := f.Open(d.path)
	if err != nil {
		return fr, err
	}
	defer r.Close()
	fr.Start = d.begins()
	s := d.scanner(r, fr.Start)
	for {
		rec, err := s.next()
		fr.Data = s.pos
		var bad *badRecord
		switch {
		case err == nil:
			fr.add(rec.kind)
			c.record(d, &rec)
		case errors.Is(err, io.EOF):
			if s.cut {
				c.torn = append(c.torn, d)
			}
			return fr, nil
		case errors.As(err, &bad) && bad.torn:
			c.torn = append(c.torn, d)
			fr.Torn, fr.Data = true, bad.at
			return fr, nil
		case errors.As(err, &bad):
			fr.Damaged = append(fr.Damaged, Damage{Path: d.path, Offset: bad.at, Length: bad.next - bad.at, Reason: bad.why})
			c.damage = append(c.damage, checkedDamage{d, bad, c.doubt(d, bad)})
		default:
			return fr, err
		}
	}
}

func (c *check) record(d *dataFile, r *record) {
	t := checkedTx{d.dir, r.tx}
	switch r.kind {
	case kindPut:
		c.put[t] = d.id
	case kindCommit, kindRollback:
		delete(c.put, t)
	case kindTake:
	}
}

// doubt returns the transactions that a damaged record may have committed, as a replay sees it.
func (c *check) doubt(d *dataFile, b *badRecord) (txs []checkedTx) {
	switch b.head.kind {
	case kindPut, kindTake:
		return nil
	case kindRollback:
		delete(c.put, checkedTx{d.dir, b.head.tx})
		return nil
	case kindCommit:
		return []checkedTx{{d.dir, b.head.tx}}
	default:
		for t, file := range c.put {
			if t.dir == d.dir && (file == d.id || file == c.before[d.id]) {
				txs = append(txs, t)
			}
		}
		slices.SortFunc(txs, func(a, b checkedTx) int { return cmp.Compare(a.tx, b.tx) })
		return txs
	}
}
