package serializer

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
)

// A layout is how the columns of COLUMNS are written. It is the format of a serializer that Flume does not have and that
// users know as com.adaltas.flume.serialization.HeaderAndBodyTextEventSerializer$Builder.
//
//	NATIVE  {host=h1, missing=null} body\n      as HEADER_AND_TEXT, with the headers of columns
//	CSV     "h1",,"the ""body"""\n              a missing header is empty, without quotes; always with a newline
type layout string

const (
	native layout = "NATIVE"
	csv    layout = "CSV"
)

func (s *Serializer) columns(b flume.Batch) error {
	for i := range b {
		if s.settings.Layout == csv {
			s.row(&b[i])
			continue
		}
		s.native(s.chosen(&b[i]))
		s.body(b[i].Body)
	}
	return nil
}

// chosen are the columns of an event.
func (s *Serializer) chosen(e *flume.Event) flume.Headers {
	if len(s.settings.Columns) == 0 {
		return s.order(e.Headers)
	}
	s.headers = s.headers[:0]
	for _, key := range s.settings.Columns {
		value, ok := e.Headers.Get(key)
		if !ok {
			value = "null"
		}
		s.headers = append(s.headers, flume.Header{Key: key, Value: value})
	}
	return s.headers
}

func (s *Serializer) row(e *flume.Event) {
	delimiter := s.settings.Delimiter
	_, size := utf8.DecodeRuneInString(delimiter)
	delimiter = delimiter[:size]
	value := func(text string) {
		s.out.WriteByte('"')
		for {
			before, after, found := strings.Cut(text, `"`)
			s.out.WriteString(before)
			if !found {
				break
			}
			s.out.WriteString(`""`)
			text = after
		}
		s.out.WriteByte('"')
	}
	if len(s.settings.Columns) == 0 {
		for _, h := range s.order(e.Headers) {
			value(h.Value)
			s.out.WriteString(delimiter)
		}
	}
	for _, key := range s.settings.Columns {
		if text, ok := e.Headers.Get(key); ok {
			value(text)
		}
		s.out.WriteString(delimiter)
	}
	s.out.WriteByte('"')
	for rest := e.Body; ; {
		before, after, found := bytes.Cut(rest, []byte(`"`))
		s.out.Write(before)
		if !found {
			break
		}
		s.out.WriteString(`""`)
		rest = after
	}
	s.out.WriteString("\"\n")
}
