package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
)

func newCounter(string) *atomic.Int64 { return new(atomic.Int64) }

// A sinkSender is a Sender that a sink is: that of Kafka has everything that the command needs. The sink is opened with the
// first batch, and again until it can be, so that a buffer takes events while no broker is there.
type sinkSender struct {
	open func(ctx context.Context) (flume.Sink, error)

	mu   sync.Mutex
	sink flume.Sink // nil: it is not open
}

// kafka prepares the kit's Kafka sink.
func (p *program) kafka(settings map[string]string) (client.Sender, error) {
	at := slices.IndexFunc(p.kit.Sinks, func(k flume.Kind[flume.Sink]) bool { return k.Is("kafka") })
	if at < 0 {
		return nil, errors.New("this binary has no Kafka sink")
	}
	plan, problems := p.kit.Sinks[at].Bind(section("sinks", settings))
	for _, x := range problems {
		fmt.Fprintf(p.err, "%s: %s\n", p.name, strings.TrimPrefix(x.String(), ": "))
	}
	if problems.Fatal() {
		return nil, errors.New("the settings above are wrong")
	}
	return &sinkSender{open: func(ctx context.Context) (flume.Sink, error) { return plan.Open(ctx, p.env("send")) }}, nil
}

func (s *sinkSender) opened(ctx context.Context) (flume.Sink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sink == nil {
		sink, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		s.sink = sink
	}
	return s.sink, nil
}

func (s *sinkSender) Append(ctx context.Context, e flume.Event) error {
	return s.AppendBatch(ctx, flume.Batch{e})
}

// AppendBatch delivers b. A sink tells the fate of each event, a Sender how many at the start have arrived.
func (s *sinkSender) AppendBatch(ctx context.Context, b flume.Batch) error {
	sink, err := s.opened(ctx)
	if err != nil {
		return err
	}
	err = sink.Deliver(ctx, b)
	var part *flume.PartialError
	if !errors.As(err, &part) {
		return err
	}
	first, why := len(b), part.Err
	if len(part.Pending) > 0 {
		first = part.Pending[0]
	}
	if len(part.Rejected) > 0 && part.Rejected[0].Index < first {
		first, why = part.Rejected[0].Index, fmt.Errorf("%w: %w", client.ErrRejected, part.Rejected[0].Err)
	}
	if first == 0 {
		return why
	}
	return &client.BatchError{Delivered: first, Err: why}
}

func (s *sinkSender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sink == nil {
		return nil
	}
	return s.sink.Close()
}

// An httpSender posts batches to an HTTP source, as its JSON handler reads them.
type httpSender struct {
	url    string
	client http.Client
}

func openHTTP(address string) (client.Sender, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("option --http: it is not a URL that begins with http:// or https:// and a host")
	}
	return &httpSender{url: address, client: http.Client{Timeout: 30 * time.Second}}, nil
}

func (h *httpSender) Append(ctx context.Context, e flume.Event) error {
	return h.AppendBatch(ctx, flume.Batch{e})
}

// A document is an event as JSON has it.
type document struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// AppendBatch posts b as one document. What is no text is rejected, for JSON has no other.
func (h *httpSender) AppendBatch(ctx context.Context, b flume.Batch) error {
	docs := make([]document, len(b))
	for i := range b {
		e := &b[i]
		headers := make(map[string]string, len(e.Headers))
		text := utf8.Valid(e.Body)
		for _, x := range e.Headers {
			text = text && utf8.ValidString(x.Key) && utf8.ValidString(x.Value)
			headers[x.Key] = x.Value
		}
		if !text {
			err := fmt.Errorf("%w: it has bytes that are no UTF-8, which JSON cannot carry; send it with --avro or --thrift", client.ErrRejected)
			if i == 0 {
				return err
			}
			if sent := h.AppendBatch(ctx, b[:i]); sent != nil {
				return sent
			}
			return &client.BatchError{Delivered: i, Err: err}
		}
		docs[i] = document{headers, string(e.Body)}
	}
	var out bytes.Buffer
	text := json.NewEncoder(&out)
	text.SetEscapeHTML(false)
	if err := text.Encode(docs); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, &out)
	if err != nil {
		return fmt.Errorf("posting: %w", err)
	}
	req.Header.Set("Content-Type", "application/json; charset=UTF-8")
	answer, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("posting: %w", err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 500)) // it only explains the status
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("posting: the answer is %s: %s", answer.Status, strings.Join(strings.Fields(string(said)), " "))
	}
	return nil
}

func (h *httpSender) Close() error {
	h.client.CloseIdleConnections()
	return nil
}
