package deadletter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/vfs"
)

// What one batch of Replay has at most. A letter alone may be larger.
const (
	batchEvents = 1000
	batchBytes  = 1 << 20
)

// A Trouble is a file that cannot be read to its end, and how it does not concern the others.
type Trouble struct {
	Path string
	Err  error
}

// Each calls do for every letter in dir that is not settled, the oldest first, and that the filter chooses. Tried: it was
// replayed, and nobody knows whether it was taken. What cannot be read is returned, beside what do returned.
func Each(dir string, filter *Filter, do func(l *Letter, tried bool) error) ([]Trouble, error) {
	return walk(dir, func(f *file, j *journal) error {
		return f.each(j, filter, func(l *Letter, n int) error { return do(l, j.tried.has(n)) })
	})
}

// unreadable is what concerns one file only.
type unreadable struct{ error }

// walk opens one file after the other, each as it was at the beginning: what is written from then on is not read, be it by
// what do brings about.
func walk(dir string, do func(f *file, j *journal) error) ([]Trouble, error) {
	paths, err := Files(dir)
	if err != nil {
		return nil, err
	}
	sizes := make([]int64, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			sizes[i] = info.Size()
		}
	}
	var troubles []Trouble
	for i, path := range paths {
		err := walkFile(path, sizes[i], do)
		var bad *unreadable
		switch {
		case errors.As(err, &bad):
			troubles = append(troubles, Trouble{path, bad.error})
		case err != nil:
			return troubles, err
		}
	}
	return troubles, nil
}

func walkFile(path string, size int64, do func(f *file, j *journal) error) error {
	f, err := open(path, size)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, errTorn):
		return nil // settled meanwhile; or nothing is in it yet
	case err != nil:
		return &unreadable{err}
	}
	defer func() { _ = f.close() }() // it was read
	j, err := readJournal(f)
	if err != nil {
		return &unreadable{err}
	}
	return do(f, j)
}

// each calls do for the letters of a file that are chosen.
func (f *file) each(j *journal, filter *Filter, do func(l *Letter, n int) error) error {
	for {
		l, n, err := f.next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return nil
		case err != nil:
			return &unreadable{err}
		case j.done.has(n) || !filter.Match(&l):
			continue
		}
		if err := do(&l, n); err != nil {
			return err
		}
	}
}

// A Result is what became of the letters that were chosen.
type Result struct {
	Settled  int // taken by the flow, or removed
	Again    int // of these: replayed before, and nobody knows whether they were taken then
	Open     int // handed over, and nobody knows whether they were taken
	Unrouted int // there is no way for them
	Troubles []Trouble
}

// A Way is where a letter goes. Ways are compared: letters of one go together.
type Way interface {
	// Take hands events over; nil: they are safe. An error that is a Refusal: none of them was taken.
	Take(ctx context.Context, b flume.Batch) error
}

// A Refusal is the error of a Way that has taken nothing.
type Refusal struct{ Err error }

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// Replay hands the letters of dir that the filter chooses over, the oldest first, and settles each when it has been taken.
// route finds the way of a letter; nil: there is none, and it stays. Only letters that are there when it begins are
// replayed, so that what is rejected again stays. One Replay of a directory runs at a time.
func Replay(ctx context.Context, dir string, filter *Filter, route func(l *Letter) Way) (Result, error) {
	var r Result
	err := settle(dir, &r, func(f *file, j *journal) error {
		p := replaying{ctx: ctx, result: &r, journal: j}
		err := f.each(j, filter, func(l *Letter, n int) error { return p.add(l, n, route(l)) })
		var bad *unreadable
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		if err := p.flush(); err != nil { // also what stands before the damage
			return err
		}
		return err
	})
	return r, err
}

// Remove settles the letters of dir that the filter chooses, which are gone then.
func Remove(dir string, filter *Filter) (Result, error) {
	var r Result
	err := settle(dir, &r, func(f *file, j *journal) error {
		var numbers []int
		err := f.each(j, filter, func(_ *Letter, n int) error {
			numbers = append(numbers, n)
			return nil
		})
		if len(numbers) > 0 {
			if err := j.write("done", numbers); err != nil {
				return err
			}
			r.Settled += len(numbers)
		}
		return err
	})
	return r, err
}

const lockName = "replay.lock"

// settle walks through dir as the only one who settles letters there, and tidies up behind.
func settle(dir string, r *Result, do func(f *file, j *journal) error) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("replaying dead letters, which one at a time can do: %w", err)
	}
	defer func() { _ = lock.Release() }() // it is not locked any more, removed or not
	r.Troubles, err = walk(dir, do)
	return errors.Join(err, tidy(dir))
}

// replaying is a batch of one way, of one file.
type replaying struct {
	ctx     context.Context
	result  *Result
	journal *journal
	way     Way
	batch   flume.Batch
	numbers []int
	bytes   int
}

func (p *replaying) add(l *Letter, n int, way Way) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if way == nil {
		p.result.Unrouted++
		return nil
	}
	e := l.Event()
	if size := e.Size(); len(p.batch) > 0 && (way != p.way || len(p.batch) >= batchEvents || p.bytes+size > batchBytes) {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.way = way
	p.batch = append(p.batch, e)
	p.numbers = append(p.numbers, n)
	p.bytes += e.Size()
	return nil
}

// flush hands the batch over and settles it.
func (p *replaying) flush() error {
	b, numbers := p.batch, p.numbers
	p.batch, p.numbers, p.bytes = nil, nil, 0
	if len(b) == 0 {
		return nil
	}
	var first []int // never tried before
	for _, n := range numbers {
		if !p.journal.tried.has(n) {
			first = append(first, n)
		}
	}
	if err := p.journal.write("try", numbers); err != nil {
		return err
	}
	if err := p.way.Take(p.ctx, b); err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			p.result.Open += len(b)
			return err
		}
		if len(first) > 0 { // an earlier try of the others has not been answered
			err = errors.Join(err, p.journal.write("back", first))
		}
		return err
	}
	p.result.Settled += len(b)
	p.result.Again += len(b) - len(first)
	return p.journal.write("done", numbers)
}

// tidy removes what is settled from the files of dir that nobody writes.
func tidy(dir string) error {
	paths, err := Files(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		if _, err := os.Stat(path + doneSuffix); err != nil {
			continue
		}
		live, err := vfs.OS{}.Lock(path + liveSuffix)
		if err != nil {
			continue // it is being written
		}
		errs = append(errs, tidyFile(path))
		_ = live.Release() // it is not locked any more, removed or not
	}
	entries, err := os.ReadDir(dir)
	errs = append(errs, err)
	for _, e := range entries { // what a crash has left
		path := filepath.Join(dir, e.Name())
		of, is := strings.CutSuffix(path, doneSuffix)
		if is && strings.HasSuffix(of, suffix) && !slices.Contains(paths, of) || strings.HasSuffix(path, newSuffix) {
			errs = append(errs, os.Remove(path))
		}
		if of, is := strings.CutSuffix(path, liveSuffix); is && strings.HasSuffix(of, suffix) && !slices.Contains(paths, of) {
			if live, err := (vfs.OS{}).Lock(path); err == nil {
				errs = append(errs, live.Release())
			}
		}
	}
	return errors.Join(errs...)
}

const newSuffix = suffix + ".new"

// tidyFile removes a file whose letters are all settled, or what is settled of it. A file that is damaged stays as it is, and
// one whose letters are in doubt, for they are known by their numbers.
func tidyFile(path string) error {
	f, err := open(path, math.MaxInt64)
	if err != nil {
		return nil //nolint:nilerr // said by who has walked
	}
	defer func() { _ = f.close() }() // it was read
	j, err := readJournal(f)
	switch {
	case err != nil:
		return nil //nolint:nilerr // said by who has walked
	case j.size == 0:
		return removeJournal(j) // of the file that had this name
	case j.done.count() == 0:
		return nil
	}
	var left blocks
	marker := newMarker()
	kept := 0
	err = f.each(j, &Filter{}, func(l *Letter, n int) error {
		if j.tried.has(n) {
			return errDoubt
		}
		kept++
		left.add(l, marker)
		return nil
	})
	if err != nil {
		return nil //nolint:nilerr // it stays
	}
	if kept == 0 {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing a file of dead letters that are settled: %w", err)
		}
		return removeJournal(j)
	}
	if err := replace(path, append(appendFileHeader(nil, marker), left.end(marker)...)); err != nil {
		return fmt.Errorf("taking what is settled out of dead letters: %w", err)
	}
	return removeJournal(j) // of the old file; it does not count for the new one
}

var errDoubt = errors.New("a letter is in doubt")

func removeJournal(j *journal) error {
	if err := os.Remove(j.path); err != nil {
		return fmt.Errorf("removing the list of settled dead letters: %w", err)
	}
	return syncDir(filepath.Dir(j.path))
}

// replace writes a file beside path and gives it that name.
func replace(path string, text []byte) error {
	tmp := strings.TrimSuffix(path, suffix) + newSuffix
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = errors.Join(keepOwner(tmp), os.Rename(tmp, path), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		_ = os.Remove(tmp) // the error is the one that brought us here
	}
	return err
}
