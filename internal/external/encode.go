package external

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
)

// appendCall appends the line that hands events to a program, of most bytes at most with its LF, and returns how many of
// them are in it. Zero: the first one alone is longer.
func appendCall(to []byte, id int64, b flume.Batch, binary bool, most int) ([]byte, int) {
	from := len(to)
	to = append(to, `{"id":`...)
	to = strconv.AppendInt(to, id, 10)
	to = append(to, `,"events":[`...)
	for i := range b {
		before := len(to)
		if i > 0 {
			to = append(to, ',')
		}
		to = appendEvent(to, &b[i], binary)
		if len(to)-from+len("]}\n") > most {
			if i == 0 {
				return to[:from], 0
			}
			return append(to[:before], "]}\n"...), i
		}
	}
	return append(to, "]}\n"...), len(b)
}

func appendEvent(to []byte, e *flume.Event, binary bool) []byte {
	to = append(to, `{"headers":{`...)
	for i, h := range e.Headers {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendString(to, h.Key)
		to = append(to, ':')
		to = appendString(to, h.Value)
	}
	if binary || !utf8.Valid(e.Body) {
		to = append(to, `},"base64":"`...)
		to = base64.StdEncoding.AppendEncode(to, e.Body)
		return append(to, `"}`...)
	}
	to = append(to, `},"body":`...)
	return append(appendString(to, e.Body), '}')
}

// appendString writes a string. A byte that is no UTF-8 becomes the escape \udc80 to \udcff; line and paragraph
// separators are escaped too, for some take them for the end of a line.
func appendString[T string | []byte](to []byte, s T) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if r != '\u2028' && r != '\u2029' && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
			to = append(to, s[from:i]...)
			if size == 1 {
				to = append(to, '\\', 'u', 'd', 'c', hex[c>>4], hex[c&15])
			} else {
				to = append(to, '\\', 'u', '2', '0', '2', hex[r&15])
			}
		} else {
			to = append(to, s[from:i]...)
			switch c {
			case '"', '\\':
				to = append(to, '\\', c)
			case '\n':
				to = append(to, '\\', 'n')
			case '\r':
				to = append(to, '\\', 'r')
			case '\t':
				to = append(to, '\\', 't')
			default:
				to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i += size
		from = i
	}
	return append(append(to, s[from:]...), '"')
}

// appendAnswer appends the line that tells a source program what became of its batch; nil: it is stored.
func appendAnswer(to, id []byte, err error) []byte {
	to = append(to, `{"id":`...)
	to = append(to, id...)
	if err == nil {
		return append(to, ",\"ok\":true}\n"...)
	}
	to = append(to, `,"error":`...)
	return append(appendString(to, err.Error()), "}\n"...)
}
