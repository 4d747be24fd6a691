package fileroll

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-io/sluice/internal/vfs"
)

// A note says which file is being written and how many of its bytes are safe. It has two places of 512 bytes that are
// written in turn, so that one is always whole, and ends with blanks and a newline:
//
//	file_roll SERIAL LENGTH CRC-32 "NAME"
//
// SERIAL goes up by one, LENGTH is bytes, the checksum in hex is of the text `SERIAL LENGTH "NAME"`. An empty name means
// that no file is being written.
type note struct {
	fs     vfs.FS
	path   string
	file   vfs.File
	serial uint64
}

// noted is what a note says.
type noted struct {
	serial uint64
	length int64
	name   string
}

const place = 512

func (n noted) text() string {
	sum := crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %d %q", n.serial, n.length, n.name))
	return fmt.Sprintf("file_roll %d %d %08x %q", n.serial, n.length, sum, n.name)
}

// parseNote reads one place; it is nothing if it is not whole.
func parseNote(text string) (n noted) {
	text = strings.TrimRight(text, " \n")
	var sum uint32
	if c, err := fmt.Sscanf(text, "file_roll %d %d %x %q", &n.serial, &n.length, &sum, &n.name); err != nil || c != 4 || n.length < 0 || n.text() != text {
		return noted{}
	}
	return n
}

// readNote returns what is left of a process that has not closed its sink.
func readNote(fs vfs.FS, path string) (n noted, err error) {
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("reading %s, the note of the file that was being written: %w", path, err)
	}
	defer f.Close()
	text := make([]byte, 2*place)
	if c, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("reading %s, the note of the file that was being written: %w", path, err)
	} else if c < len(text) {
		text = append(text[:c], make([]byte, len(text)-c)...)
	}
	for _, part := range []string{string(text[:place]), string(text[place:])} {
		if m := parseNote(part); m.serial > n.serial {
			n = m
		}
	}
	return n, nil
}

// openNote goes on behind a serial.
func openNote(fs vfs.FS, path string, serial uint64) (*note, error) {
	f, err := fs.OpenWrite(path)
	made := errors.Is(err, os.ErrNotExist)
	if made {
		f, err = fs.Create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s, the note of the file that is being written: %w", path, err)
	}
	n := &note{fs, path, f, serial}
	err = n.write("", 0)
	if err == nil && made {
		if err = fs.SyncDir(filepath.Dir(path)); err != nil {
			err = fmt.Errorf("opening %s, the note of the file that is being written: %w", path, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return n, nil
}

func (n *note) write(name string, length int64) error {
	next := noted{n.serial + 1, length, name}
	text := next.text()
	if len(text) >= place {
		return fmt.Errorf("noting %s in %s: its name is too long (sink.pathManager.prefix, .extension)", name, n.path)
	}
	text += strings.Repeat(" ", place-1-len(text)) + "\n"
	_, err := n.file.WriteAt([]byte(text), int64(next.serial%2)*place)
	if err == nil {
		err = n.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("noting in %s how much of %s is safe: %w", n.path, name, err)
	}
	n.serial = next.serial
	return nil
}

func (n *note) close() error { return n.file.Close() }

// remove is for a sink that has closed its file.
func (n *note) remove() error {
	return errors.Join(n.file.Close(), n.fs.Remove(n.path))
}
