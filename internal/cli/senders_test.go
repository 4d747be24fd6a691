package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
)

type fate struct{ err error }

func (f fate) Deliver(context.Context, flume.Batch) error { return f.err }
func (fate) Limits() flume.Limits                         { return flume.Limits{} }
func (fate) Close() error                                 { return nil }

// What a sink tells of single events becomes how many at the start have arrived.
func TestSinkSender(t *testing.T) {
	down, bad := errors.New("down"), errors.New("bad")
	for _, x := range []struct {
		name      string
		fate      error
		delivered int // -1: no BatchError
		is        []error
	}{
		{"all", nil, -1, nil},
		{"none", down, -1, []error{down}},
		{"pending", &flume.PartialError{Pending: []int{2, 3}, Err: down}, 2, []error{down}},
		{"rejected before", &flume.PartialError{Pending: []int{3}, Rejected: []flume.Rejected{{Index: 1, Err: bad}}, Err: down}, 1, []error{bad, client.ErrRejected}},
		{"rejected behind", &flume.PartialError{Pending: []int{1}, Rejected: []flume.Rejected{{Index: 3, Err: bad}}, Err: down}, 1, []error{down}},
		{"the first is rejected", &flume.PartialError{Rejected: []flume.Rejected{{Index: 0, Err: bad}}}, -1, []error{bad, client.ErrRejected}},
	} {
		err := (&sinkSender{sink: fate{x.fate}}).AppendBatch(t.Context(), make(flume.Batch, 4))
		var part *client.BatchError
		delivered := -1
		if errors.As(err, &part) {
			delivered = part.Delivered
		}
		if delivered != x.delivered || (err == nil) != (x.fate == nil) {
			t.Errorf("%s: %v", x.name, err)
		}
		for _, want := range x.is {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", x.name, err, want)
			}
		}
	}
}

// A sink that cannot be opened is opened again with the next batch.
func TestSinkIsOpenedLater(t *testing.T) {
	away, opened := errors.New("away"), 0
	s := &sinkSender{open: func(context.Context) (flume.Sink, error) {
		if opened++; opened < 3 {
			return nil, away
		}
		return fate{}, nil
	}}
	for range 2 {
		if err := s.Append(t.Context(), flume.Event{}); !errors.Is(err, away) {
			t.Error(err)
		}
	}
	for range 2 {
		if err := s.Append(t.Context(), flume.Event{}); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil || opened != 3 {
		t.Error(err, opened)
	}
}

func TestHTTPSender(t *testing.T) {
	var got [][]document
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var docs []document
		if err == nil {
			err = json.Unmarshal(text, &docs)
		}
		if err != nil || r.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
			t.Error(err, r.Header)
		}
		got = append(got, docs)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the channel\n is full")
	}))
	defer server.Close()
	h, err := openHTTP(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.AppendBatch(t.Context(), flume.Batch{{Headers: flume.Headers{{Key: "k", Value: "<ż>"}}, Body: []byte("a\"b")}, {}}); err != nil {
		t.Error(err)
	}
	if len(got) != 1 || len(got[0]) != 2 || got[0][0].Headers["k"] != "<ż>" || got[0][0].Body != "a\"b" {
		t.Error(got)
	}
	var part *client.BatchError
	err = h.AppendBatch(t.Context(), flume.Batch{{Body: []byte("x")}, {Body: []byte("\xff")}, {Body: []byte("y")}})
	if !errors.As(err, &part) || part.Delivered != 1 || !errors.Is(err, client.ErrRejected) || len(got) != 2 || len(got[1]) != 1 {
		t.Error(err, got)
	}
	if err := h.Append(t.Context(), flume.Event{Headers: flume.Headers{{Key: "\xff", Value: ""}}}); !errors.Is(err, client.ErrRejected) {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := h.Append(t.Context(), flume.Event{}); err == nil || errors.Is(err, client.ErrRejected) || !strings.Contains(err.Error(), "503 Service Unavailable: the channel is full") {
		t.Error(err)
	}
	for _, bad := range []string{"", "x", "ftp://x/", "http://"} {
		if _, err := openHTTP(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
