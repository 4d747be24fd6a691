package spooldir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// An identity is what tells a file from another one of its name. It knows nothing of inodes, since the next file gets that
// of one that was removed, and one that was copied back has another.
type identity struct {
	Sync    string    `json:"sync"` // the sync marker of the tracker file that it goes with
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed"`
	Head    string    `json:"head"`            // a sum over its first bytes
	Aside   bool      `json:"aside,omitempty"` // it was set aside, so that there was a mark
}

const headSize = 64 << 10 // how many bytes a head has at most

func identify(f io.ReaderAt, i fs.FileInfo) (*identity, error) {
	head, err := sum(f, i.Size())
	return &identity{Size: i.Size(), Changed: i.ModTime(), Head: head}, err
}

// is reports whether an open file is the one of the identity, as it was or grown.
func (was *identity) is(f io.ReaderAt, i fs.FileInfo) (bool, error) {
	if i.Size() < was.Size || i.Size() == was.Size && !i.ModTime().Equal(was.Changed) {
		return false, nil
	}
	head, err := sum(f, was.Size)
	return head == was.Head, err
}

func sum(f io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, min(size, headSize))); err != nil {
		return "", fmt.Errorf("reading the first bytes: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// noted is how far a file was read.
type noted struct {
	position int64
	of       *identity // nil: of a file of which the name alone is known
}

var errAnother = errors.New("the file was changed, or another one has its name")
