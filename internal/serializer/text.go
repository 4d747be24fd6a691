package serializer

import (
	"github.com/sluice-io/sluice/flume"
)

func (s *Serializer) text(b flume.Batch) error {
	for i := range b {
		s.body(b[i].Body)
	}
	return nil
}

// body writes what ends a line of text. An error stays in the writer, and Flush returns it.
func (s *Serializer) body(body []byte) {
	s.out.Write(body)
	if s.settings.Newline {
		s.out.WriteByte('\n')
	}
}

func (s *Serializer) headerAndText(b flume.Batch) error {
	for i := range b {
		s.native(s.order(b[i].Headers))
		s.body(b[i].Body)
	}
	return nil
}

// native writes headers as Java writes a map, and a blank.
func (s *Serializer) native(headers flume.Headers) {
	s.out.WriteByte('{')
	for i := range headers {
		if i > 0 {
			s.out.WriteString(", ")
		}
		s.out.WriteString(headers[i].Key)
		s.out.WriteByte('=')
		s.out.WriteString(headers[i].Value)
	}
	s.out.WriteString("} ")
}
