package http

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/charset"
	"github.com/sluice-io/sluice/internal/eventjson"
	"github.com/sluice-io/sluice/internal/rpc"
)

// events makes events of a request, as its handler does it in Flume.
func (s *source) events(r *http.Request, p *pace, loan *rpc.Loan) (flume.Batch, error) {
	if s.settings.Handler == jsonHandler {
		return s.document(r, p, loan)
	}
	return s.blob(r, p, loan)
}

// document reads JSON.
func (s *source) document(r *http.Request, p *pace, loan *rpc.Loan) (flume.Batch, error) {
	typ, name := contentType(r.Header.Get("Content-Type"))
	given := charset.UTF8
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8":
	case "utf-16":
		given = charset.UTF16
	case "utf-32":
		given = charset.UTF32
	default:
		return nil, &refusal{status: http.StatusInternalServerError, said: failed, err: fmt.Errorf("the charset %.50q is not known to JSONHandler; utf-8, utf-16 and utf-32 are", name)}
	}
	text, err := s.body(s.soft, r, p, loan, s.settings.MaxRequest, true)
	if err != nil {
		return nil, err
	}
	room := func(bytes int) error {
		_, err := loan.Grow(s.soft, int64(bytes))
		return err
	}
	delimited := s.settings.Format == lines || s.settings.Format == byType && delimits(typ)
	var b flume.Batch
	if delimited && s.settings.Line == bodyLine {
		b, err = eventjson.Bodies(text, room)
	} else if text, err = decoded(text, given, name != "" || typ == "application/json" || typ == "text/json", room); err == nil {
		if delimited {
			b, err = eventjson.Lines(text, given, room)
		} else {
			b, err = eventjson.Decode(text, given, room, func(objects int, field string) {
				s.foreign.Report(slog.LevelWarn, fmt.Errorf("reading a request of %s: %d objects of the list have neither \"body\" nor \"headers\", the first has %q", r.RemoteAddr, objects, field), 0)
				s.foreign.End() // the next one is another client's
			})
		}
	}
	return b, s.mistake(err)
}

// mistake says what is wrong with a document.
func (s *source) mistake(err error) error {
	var syntax *eventjson.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpc.ErrMemory):
		return memory(err)
	case s.soft.Err() != nil:
		return &refusal{status: http.StatusServiceUnavailable, said: full, err: errStopping}
	case errors.Is(err, eventjson.ErrNoEvents):
		return &refusal{status: http.StatusInternalServerError, said: failed, err: err}
	case errors.Is(err, eventjson.ErrNotEvent):
		return &refusal{status: http.StatusBadRequest, said: badRequest, err: fmt.Errorf("%w; with handler.lines = body each line, whatever it holds, is the body of an event", err)}
	case errors.As(err, &syntax):
		return &refusal{status: http.StatusBadRequest, said: badRequest, err: fmt.Errorf("the JSON is wrong: %w", err)}
	}
	return err
}

// decoded is the text as UTF-8. Where nobody has said that it is, and it is not, it is taken for ISO-8859-1, as Flume takes
// everything then.
func decoded(text []byte, given charset.Charset, said bool, room eventjson.Room) ([]byte, error) {
	switch {
	case given == charset.UTF8 && utf8.Valid(text):
		return text, nil
	case given == charset.UTF8 && !said:
		given = charset.Latin1
	}
	if err := room(3 * len(text)); err != nil {
		return nil, fmt.Errorf("decoding the document: %w", err)
	}
	return given.Decode(text), nil
}

// contentType cuts a header field into the type and its charset.
func contentType(field string) (typ, charset string) {
	typ, parameters, _ := strings.Cut(field, ";")
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") {
			charset = strings.Trim(strings.TrimSpace(value), `"'`)
			break
		}
	}
	return strings.ToLower(strings.TrimSpace(typ)), charset
}

// delimits reports whether a type is that of newline-delimited JSON.
func delimits(typ string) bool {
	switch typ {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines", "application/x-jsonlines", "application/json-lines":
		return true
	}
	return false
}

// blob makes one event of a request: its body as it is, its parameters as headers.
func (s *source) blob(r *http.Request, p *pace, loan *rpc.Loan) (flume.Batch, error) {
	headers, err := parameters(r.URL.RawQuery)
	if err != nil {
		return nil, &refusal{status: http.StatusInternalServerError, said: failed, err: err}
	}
	most := s.settings.MaxRequest
	if s.settings.Handler == morphlineBlob {
		most = min(most, s.settings.MaxBlob)
		if typ := r.Header.Get("Content-Type"); typ != "" {
			headers.Set("Content-Type", typ)
		}
	} else {
		for _, name := range s.settings.Mandatory {
			if _, ok := headers.Get(name); !ok {
				return nil, &refusal{status: http.StatusInternalServerError, said: failed, err: fmt.Errorf("Please specify %s parameter in the request.", name)} //nolint:staticcheck // Flume's words
			}
		}
	}
	text, err := s.body(s.soft, r, p, loan, most, false)
	if err != nil {
		return nil, err
	}
	if len(text) < cap(text)/2 {
		if _, err := loan.Grow(s.soft, int64(len(text))); err != nil {
			return nil, s.mistake(err)
		}
		text = append([]byte(nil), text...)
	}
	return flume.Batch{{Headers: headers, Body: text}}, nil
}

// parameters are those of a query; of a name that comes twice the first counts.
func parameters(query string) (flume.Headers, error) {
	var headers flume.Headers
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		key, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the query: %w", err)
		}
		key = text(key)
		if _, ok := headers.Get(key); !ok {
			headers = append(headers, flume.Header{Key: key, Value: text(value)})
		}
	}
	return headers, nil
}

// text is s with bytes that are no UTF-8 replaced as in Java.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(charset.DecodeUTF8([]byte(s)))
}
