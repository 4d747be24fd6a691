package http

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/rpc"
	"github.com/sluice-io/sluice/internal/supervise"
)

// A refusal is an answer other than 200.
type refusal struct {
	status int
	said   string // in front of the error
	err    error
	gone   bool // the client has not sent its request to the end
}

func (r *refusal) Error() string { return r.said + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// What Flume says in front of the error.
const (
	badRequest = "Bad request from client. "
	failed     = "Deserializer threw unexpected exception. "
	full       = "Error appending event to channel. Channel might be full. "
	unexpected = "Unexpected error while appending event to channel. "
)

// ServeHTTP answers one request.
func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		panic("BUG: a request without a connection")
	}
	p := &pace{conn: http.NewResponseController(w), idle: s.settings.Jetty.idle}
	p.start()
	var err error
	if s.begin(c) {
		defer s.requests.Done()
		err = s.take(w, r, p)
	} else {
		err = &refusal{status: http.StatusServiceUnavailable, said: full, err: errStopping}
	}
	p.answer()
	if !s.settings.Jetty.date {
		w.Header()["Date"] = nil
	}
	var no *refusal
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
		return
	case !errors.As(err, &no):
		no = &refusal{status: http.StatusInternalServerError, said: unexpected, err: err}
	}
	if no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if !p.complete {
		w.Header().Set("Connection", "close")
	}
	text := no.Error() + "\n"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // so that the client has it all before the end of linger
	w.WriteHeader(no.status)
	_, _ = io.WriteString(w, text) // a client that is gone does not miss it
	if !p.complete && !no.gone && r.Header.Get("Expect") == "" {
		linger(w, r, p)
	}
}

// What a client may still send while it takes the answer to a request of which not all was read: a connection that is closed
// before would be reset, and the answer lost.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

func linger(w http.ResponseWriter, r *http.Request, p *pace) {
	if http.NewResponseController(w).Flush() == nil {
		p.allow(lingerTime)
		_, _ = io.CopyN(io.Discard, r.Body, lingerBytes)
	}
}

// errStopping is what a request meets that comes too late.
var errStopping = errors.New("the source stops")

// take does what a request asks for. A panic costs this request only.
func (s *source) take(w http.ResponseWriter, r *http.Request, p *pace) (err error) {
	defer func() {
		var bug *supervise.Bug
		if errors.As(err, &bug) {
			s.refusing.Report(slog.LevelError, err, 0)
			err = errors.New("a bug; the log of the agent has it")
		}
	}()
	defer supervise.Recover("taking a request", &err)
	if no := s.allowed(w, r); no != nil {
		return s.refuse(r, no)
	}
	loan := s.budget.Client(address(r.RemoteAddr), p.expel)
	defer loan.End()
	b, err := s.events(r, p, loan)
	if err != nil {
		return s.refuse(r, err)
	}
	err = s.put(s.soft, b)
	var bug *supervise.Bug
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flume.ErrInterceptor), errors.As(err, &bug):
		return &refusal{status: http.StatusInternalServerError, said: unexpected, err: err}
	case errors.Is(err, flume.ErrTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, said: unexpected, err: err}
	case s.soft.Err() != nil:
		err = errStopping
	}
	return &refusal{status: http.StatusServiceUnavailable, said: full, err: err}
}

// address is a client's, for messages.
type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

// refuse counts a request that is no use, and says so.
func (s *source) refuse(r *http.Request, err error) error {
	var no *refusal
	if errors.As(err, &no) && no.status == http.StatusServiceUnavailable {
		return err // it is the source that stops
	}
	s.bad.Add(1)
	trouble := &s.refusing
	switch {
	case no != nil && no.status == http.StatusUnauthorized:
		trouble = &s.forbidding
	case no != nil && no.gone:
		trouble = &s.reading
	}
	trouble.Report(slog.LevelWarn, fmt.Errorf("reading a request of %s: %w", r.RemoteAddr, err), 0)
	trouble.End() // the next one is another client's, or another mistake
	return err
}

// allowed refuses what is not for this source, before anything of the body is read.
func (s *source) allowed(w http.ResponseWriter, r *http.Request) error {
	no := func(status int) error {
		return &refusal{status: status, err: fmt.Errorf("the method %.20q is not for this source; post", r.Method)}
	}
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodHead:
	case http.MethodPut, http.MethodDelete:
		w.Header().Set("Allow", "POST, GET, HEAD")
		return no(http.StatusMethodNotAllowed)
	case http.MethodOptions, http.MethodTrace:
		return no(http.StatusForbidden)
	default:
		return no(http.StatusNotImplemented)
	}
	if !s.settings.Users.admit(r) {
		s.settings.Users.challenge(w.Header())
		what := "with a name or token that is none"
		if r.Header.Get("Authorization") == "" {
			what = "without Authorization"
		}
		return &refusal{status: http.StatusUnauthorized, err: errors.New("the request comes " + what)}
	}
	return nil
}

// A pace bounds how long a client may stop while its request is read.
type pace struct {
	conn     *http.ResponseController
	idle     time.Duration
	complete bool // the whole request has been read

	mu   sync.Mutex // guards the read deadline
	over bool
}

// The errors of setting deadlines are not looked at: the connection is gone then, which reading or writing says.

// start allows a piece of the body to take its time.
func (p *pace) start() {
	_ = p.conn.SetWriteDeadline(time.Time{}) // that of the answer before
	p.allow(p.idle)
}

// allow sets how long reading may take from now on; 0 is for ever.
func (p *pace) allow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	var until time.Time
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = p.conn.SetReadDeadline(until)
}

// expel ends the reading that is under way and every later one.
func (p *pace) expel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
}

// answer bounds the writing.
func (p *pace) answer() { _ = p.conn.SetWriteDeadline(time.Now().Add(answerTime)) }

// An arrival is where a body comes from, as it is on the wire.
type arrival struct {
	body  io.Reader
	pace  *pace
	loan  *rpc.Loan
	least int64 // bytes a second; 0: any number
	most  int64 // of the body; compressed data may be longer, but not for ever
	begun time.Time
	bytes int64
}

// errRate is that of minRequestDataRate.
var errRate = errors.New("the body comes more slowly than HttpConfiguration.minRequestDataRate")

func (a *arrival) Read(p []byte) (int, error) {
	a.pace.allow(a.pace.idle)
	n, err := a.body.Read(p)
	a.loan.Arrived(n)
	a.bytes += int64(n)
	if a.bytes/2 > a.most {
		return n, tooLarge(a.most)
	}
	if took := time.Since(a.begun); err == nil && a.least > 0 && took > time.Second && a.bytes < int64(took.Seconds()*float64(a.least)) {
		return n, errRate
	}
	return n, err
}

// body reads the body of a request to its end, inflated where inflate is set, with memory from the loan.
func (s *source) body(ctx context.Context, r *http.Request, p *pace, loan *rpc.Loan, most int64, inflate bool) ([]byte, error) {
	stop := context.AfterFunc(ctx, p.expel)
	defer stop()
	known := r.ContentLength // -1: it is not
	if known > most {
		return nil, tooLarge(most)
	}
	wire := &arrival{body: r.Body, pace: p, loan: loan, least: s.settings.Jetty.dataRate, most: most, begun: time.Now()}
	var from io.Reader = wire
	if inflate {
		var err error
		if from, known, err = inflated(ctx, r, wire, known, loan); err != nil {
			return nil, s.broken(ctx, err, loan)
		}
	}
	text, err := readAll(ctx, from, known, most, loan)
	if err != nil {
		return nil, s.broken(ctx, err, loan)
	}
	if wire != from { // what follows the compressed data belongs to the request too
		if _, err := io.Copy(io.Discard, wire); err != nil {
			return nil, s.broken(ctx, err, loan)
		}
	}
	if err := loan.Complete(); err != nil {
		return nil, s.broken(ctx, err, loan)
	}
	p.complete = true
	if stop() {
		p.allow(0) // nobody has to send anything while the events are put
	}
	return text, nil
}

func tooLarge(most int64) error {
	return &refusal{status: http.StatusRequestEntityTooLarge, err: fmt.Errorf("the body has more than %d bytes", most)}
}

// broken says what a body that could not be read means for the client.
func (s *source) broken(ctx context.Context, err error, loan *rpc.Loan) error {
	slow := loan.Complete()
	var no *refusal
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &no):
		return err
	case ctx.Err() != nil:
		return &refusal{status: http.StatusServiceUnavailable, said: full, err: errStopping, gone: true}
	case slow != nil:
		return &refusal{status: http.StatusRequestTimeout, err: fmt.Errorf("%w (max-memory)", slow), gone: true}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{status: http.StatusRequestTimeout, err: fmt.Errorf("the body stopped for %s (ServerConnector.idleTimeout)", s.settings.Jetty.idle), gone: true}
	case errors.Is(err, errRate):
		return &refusal{status: http.StatusRequestTimeout, err: err, gone: true}
	case errors.Is(err, rpc.ErrMemory):
		return memory(err)
	case errors.Is(err, errInflate), errors.As(err, &corrupt), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zlib.ErrChecksum), errors.Is(err, zlib.ErrHeader):
		return &refusal{status: http.StatusBadRequest, said: badRequest, err: fmt.Errorf("inflating the body: %w", err)}
	}
	return &refusal{status: http.StatusBadRequest, said: badRequest, err: fmt.Errorf("the body ends too early: %w", err), gone: true}
}

// memory is the answer to a request that needs more than one may hold.
func memory(err error) error {
	return &refusal{status: http.StatusRequestEntityTooLarge, err: fmt.Errorf("%w (max-memory)", err)}
}

// errInflate is wrapped where compressed data end too early though the request does not.
var errInflate = errors.New("the compressed data end too early")

// inflaterSize is the memory of an inflater, with its window and its buffer.
const inflaterSize = 64 << 10

// inflated returns where the inflated body comes from, and its length, if it is known.
func inflated(ctx context.Context, r *http.Request, wire *arrival, known int64, loan *rpc.Loan) (io.Reader, int64, error) {
	codings := strings.Join(r.Header.Values("Content-Encoding"), ",")
	coding := strings.ToLower(strings.TrimSpace(codings))
	if coding == "" || coding == "identity" {
		return wire, known, nil
	}
	if coding != "gzip" && coding != "x-gzip" && coding != "deflate" {
		return nil, 0, &refusal{status: http.StatusUnsupportedMediaType, err: fmt.Errorf("the Content-Encoding %.50q is not known; gzip and deflate are", codings)}
	}
	if _, err := loan.Grow(ctx, inflaterSize); err != nil {
		return nil, 0, err
	}
	buffered := bufio.NewReader(wire)
	if coding != "deflate" {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, 0, early(err, wire)
		}
		return inflater{z, wire}, -1, nil
	}
	// deflate is zlib's format; some send what is inside of it alone
	if head, _ := buffered.Peek(2); len(head) == 2 && head[0]&0x0F == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		z, err := zlib.NewReader(buffered)
		if err != nil {
			return nil, 0, early(err, wire)
		}
		return inflater{z, wire}, -1, nil
	}
	return inflater{flate.NewReader(buffered), wire}, -1, nil
}

// An inflater is compressed data that may end too early.
type inflater struct {
	io.Reader
	wire *arrival
}

func (i inflater) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = early(err, i.wire)
	}
	return n, err
}

// early tells compressed data that end too early from a request that does.
func early(err error, wire *arrival) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, end := wire.Read(make([]byte, 1)); errors.Is(end, io.EOF) {
		return fmt.Errorf("%w: %w", errInflate, err)
	}
	return err
}

// Sizes of the buffer of a body.
const (
	firstUnknown = 8 << 10
	firstKnown   = 256 << 10 // the most that is allocated on a client's word
	smallBody    = 64 << 10
)

// readAll reads to the end. Of a large body whose length is known a part is taken first, and as long as it fills four times as
// much; of one whose length is not, twice as much.
func readAll(ctx context.Context, from io.Reader, known, most int64, loan *rpc.Loan) ([]byte, error) {
	size := int64(firstUnknown)
	if known >= 0 {
		for size = known; size > firstKnown; {
			size = (size + 3) / 4 // so that the last step comes out even
		}
		loan.Sizes(known)
	}
	size = min(size, most)
	if _, err := loan.Grow(ctx, max(size, 1)); err != nil {
		return nil, err
	}
	p := make([]byte, 0, size)
	for {
		if len(p) == cap(p) {
			var one [1]byte // is there more?
			switch n, err := from.Read(one[:]); {
			case errors.Is(err, io.EOF) && n == 0:
				return p, nil
			case n == 0 && err != nil:
				return nil, err
			case n == 0:
				continue
			case int64(len(p)) == most:
				return nil, tooLarge(most)
			}
			old := int64(cap(p))
			size := max(2*old, firstUnknown)
			if known > old {
				size = min(4*old, known)
			}
			size = min(size, most)
			if size > smallBody {
				loan.Sizes(size)
			}
			if _, err := loan.Grow(ctx, size); err != nil {
				return nil, err
			}
			next := make([]byte, len(p), size)
			copy(next, p)
			p = append(next, one[0])
			loan.Shrink(old)
		}
		n, err := from.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		switch {
		case errors.Is(err, io.EOF):
			return p, nil
		case err != nil:
			return nil, err
		}
	}
}
