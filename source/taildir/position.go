package taildir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A position is an entry of Flume's position file.
type position struct {
	inode uint64
	pos   int64
	path  string
}

// appendPositions writes positions as Flume does: one line, its keys in this order, escaped as Gson does it for HTML.
func appendPositions(b []byte, all []position) []byte {
	b = append(b, '[')
	for i, p := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"inode":`...)
		b = strconv.AppendInt(b, int64(p.inode), 10)
		b = append(b, `,"pos":`...)
		b = strconv.AppendInt(b, p.pos, 10)
		b = append(b, `,"file":`...)
		b = appendText(b, p.path)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '<', '>', '&', '=', '\'', '\u2028', '\u2029':
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			if r < ' ' {
				b = fmt.Appendf(b, `\u%04x`, r)
				continue
			}
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// parsePositions reads a position file, Flume's or ours. After an error the positions before it are good: Flume writes
// over the file in place, so that a kill can leave a part.
func parsePositions(text []byte) ([]position, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	wrong := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading positions at byte %d: %w", d.InputOffset(), err)
	}
	if first, err := d.Token(); err != nil {
		return nil, wrong(err)
	} else if first != json.Delim('[') {
		return nil, wrong(fmt.Errorf("there is %v where a list has to begin with [", first))
	}
	var all []position
	for d.More() {
		var e struct {
			Inode, Pos *int64
			File       *string
		}
		if err := d.Decode(&e); err != nil {
			return all, wrong(err)
		}
		if e.Inode == nil || e.Pos == nil || e.File == nil || *e.Pos < 0 {
			return all, wrong(errors.New("an entry has no inode, pos or file"))
		}
		all = append(all, position{uint64(*e.Inode), *e.Pos, *e.File})
	}
	if _, err := d.Token(); err != nil {
		return all, wrong(err)
	}
	return all, nil
}

// sameName compares a path with one that has gone through JSON, which replaces what is not UTF-8.
func sameName(path, read string) bool {
	return path == read || strings.ToValidUTF8(path, "\ufffd") == strings.ToValidUTF8(read, "\ufffd")
}
