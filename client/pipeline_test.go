package client

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The calls of a batch are on their way together, no more than the options say, and arrive in their order.
func TestPipeline(t *testing.T) {
	r := listen(t, Avro, "")
	crowd := flumetest.NewCrowd()
	var first atomic.Bool
	c := open(t, Options{Address: r.address(), BatchSize: 10, Pipeline: 4})
	if err := c.Append(t.Context(), flume.Event{}); err != nil { // whose handshake is alone
		t.Fatal(err)
	}
	r.mu.Lock()
	r.calls = nil
	r.fail = func(b flume.Batch) error {
		if !first.Swap(true) {
			return crowd.Enter(b)
		}
		return nil
	}
	r.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- c.AppendBatch(t.Context(), run(0, 95, 10)) }()
	crowd.Await(1)
	flumetest.Until(t, "four calls are on their way", func() bool { return len(c.calls) == 4 })
	time.Sleep(10 * time.Millisecond) // a fifth would come now
	if n := len(c.calls); n != 4 {
		t.Errorf("%d calls are on their way", n)
	}
	crowd.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, call := range r.calls {
		got = append(got, call...)
	}
	wantNumbers(t, got, 0, 95)
	if len(r.calls) != 10 || len(c.calls) != 0 {
		t.Errorf("%d calls, of which %d are on their way", len(r.calls), len(c.calls))
	}
}

// Behind a call that fails no more are sent, and what was stored before it is told.
func TestPipelineFails(t *testing.T) {
	r := listen(t, Avro, "")
	r.fail = func(b flume.Batch) error {
		if string(b[0].Body[:6]) == "000030" {
			return errBusy
		}
		return nil
	}
	c := open(t, Options{Address: r.address(), BatchSize: 10, Pipeline: 3})
	err := c.AppendBatch(t.Context(), run(0, 1000, 10))
	var part *BatchError
	if !errors.As(err, &part) || part.Delivered != 30 {
		t.Fatal(err)
	}
	if n := len(r.calls); n > 6 {
		t.Errorf("%d calls were stored", n)
	}
	r.stop()
	if err := c.AppendBatch(t.Context(), run(0, 1000, 10)); err == nil {
		t.Error("nobody is there, and all is well")
	}
	if n := len(c.calls); n != 0 {
		t.Errorf("%d calls are on their way", n)
	}
}

// Many pipelines share the room for calls, and none waits for ever.
func TestPipelinesShareAConnection(t *testing.T) {
	r := listen(t, Avro, "")
	c := open(t, Options{Address: r.address(), BatchSize: 1, Pipeline: mostPipeline})
	const callers, each = 12, 300
	done := make(chan error, callers)
	for i := range callers {
		go func() { done <- c.AppendBatch(t.Context(), run(1000*i, each, 10)) }()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	last := map[string]string{}
	n := 0
	for _, call := range r.calls {
		for _, body := range call {
			n++
			if caller := body[:3]; body < last[caller] {
				t.Fatalf("%s after %s", body, last[caller])
			} else {
				last[caller] = body
			}
		}
	}
	if n != callers*each {
		t.Errorf("%d events", n)
	}
}
