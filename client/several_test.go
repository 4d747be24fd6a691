package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/turns"
)

// got are the bodies that a receiver has stored, with a bar between calls.
func (r *receiver) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var calls []string
	for _, c := range r.calls {
		calls = append(calls, strings.Join(c, " "))
	}
	return strings.Join(calls, "|")
}

func (r *receiver) failing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = func(flume.Batch) error { return err }
	if err == nil {
		r.fail = nil
	}
}

// away is an address where nobody listens.
func away(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

var errBusy = errors.New("busy")

func to(p Protocol, addresses ...string) []Options {
	var out []Options
	for _, a := range addresses {
		out = append(out, Options{Protocol: p, Address: a, BatchSize: 2, ConnectTimeout: 5 * time.Second})
	}
	return out
}

func words(text string) flume.Batch {
	var b flume.Batch
	for w := range strings.FieldsSeq(text) {
		b = append(b, flume.Event{Body: []byte(w)})
	}
	return b
}

func TestFailover(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		one, two := listen(t, p, ""), listen(t, p, "")
		f, err := OpenFailover(0, to(p, one.address(), away(t), two.address())...)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		send := func(text string, want error) {
			t.Helper()
			if err := f.AppendBatch(t.Context(), words(text)); (err == nil) != (want == nil) {
				t.Fatalf("%s: %v", text, err)
			}
		}
		send("a b c", nil)
		send("d", nil)
		one.failing(errBusy)
		send("e", nil) // and past the one that is away
		one.failing(nil)
		send("f", nil) // no way back
		two.failing(errBusy)
		if err := f.Append(t.Context(), flume.Event{Body: []byte("g")}); err != nil {
			t.Fatal(err)
		}
		if one.got() != "a b|c|d|g" || two.got() != "e|f" {
			t.Errorf("stored %q and %q", one.got(), two.got())
		}
		one.failing(errBusy)
		send("h", errBusy)
		one.failing(nil)
		send("", nil)
		send("i", nil) // it is never dead
		if one.got() != "a b|c|d|g|i" {
			t.Errorf("stored %q", one.got())
		}
	})
}

// What one receiver has stored before it failed the next one does not get.
func TestFailoverWithinABatch(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		one, two := listen(t, p, ""), listen(t, p, "")
		calls := 0
		one.fail = func(flume.Batch) error {
			if calls++; calls > 1 {
				return errBusy
			}
			return nil
		}
		two.fail = func(b flume.Batch) error {
			if string(b[0].Body) == "e" {
				return errBusy
			}
			return nil
		}
		f, err := OpenFailover(0, to(p, one.address(), two.address())...)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		err = f.AppendBatch(t.Context(), words("a b c d e f"))
		var part *BatchError
		if !errors.As(err, &part) || part.Delivered != 4 {
			t.Errorf("%v", err)
		}
		if one.got() != "a b" || two.got() != "c d" {
			t.Errorf("stored %q and %q", one.got(), two.got())
		}
	})
}

func TestFailoverAttempts(t *testing.T) {
	var r []*receiver
	var tried []int
	var mu sync.Mutex
	for i := range 3 {
		x := listen(t, Avro, "")
		x.fail = func(flume.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, i)
			return errBusy
		}
		r = append(r, x)
	}
	f, err := OpenFailover(5, to(Avro, r[0].address(), r[1].address(), away(t), r[2].address())...)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var status *StatusError
	if err := f.AppendBatch(t.Context(), words("a")); !errors.As(err, &status) {
		t.Errorf("%v", err)
	}
	if want := []int{0, 1, 2, 0, 1}; !slices.Equal(tried, want) {
		t.Errorf("tried %v", tried)
	}
}

// Where nobody can be reached a batch fails at once, whatever max-attempts says.
func TestNobodyIsReached(t *testing.T) {
	dials := 0
	o := to(Avro, away(t), away(t))
	for i := range o {
		o[i].Observe = func(Change) { dials++ }
	}
	f, err := OpenFailover(100, o...)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.AppendBatch(t.Context(), words("a")); err == nil || !strings.Contains(err.Error(), "does anything listen there?") {
		t.Error(err)
	}
	if dials != 2 {
		t.Errorf("dialled %d times", dials)
	}
}

// What is wrong with the events, or with the caller, is no reason to try the next.
func TestNotTheReceiversFault(t *testing.T) {
	one, two := listen(t, ThriftCompact, ""), listen(t, ThriftCompact, "")
	o := to(ThriftCompact, one.address(), two.address())
	o[0].MaxCall, o[1].MaxCall = 100, 100
	f, err := OpenFailover(0, o...)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := OpenLoadBalancer(Balance{Backoff: true}, o...)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []Sender{f, l} {
		if err := s.AppendBatch(t.Context(), words(strings.Repeat("x", 200))); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if err := s.AppendBatch(ended, words("a")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := s.AppendBatch(t.Context(), words("a")); err != nil {
			t.Errorf("a receiver was left for it: %v", err)
		}
		s.Close()
		if err := s.AppendBatch(t.Context(), words("a")); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if one.got() != "a|a" || two.got() != "" {
		t.Errorf("stored %q and %q", one.got(), two.got())
	}
}

func TestLoadBalancer(t *testing.T) {
	each(t, func(t *testing.T, p Protocol) {
		one, two := listen(t, p, ""), listen(t, p, "")
		l, err := OpenLoadBalancer(Balance{}, to(p, one.address(), two.address())...)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, text := range []string{"a", "b", "c d e", "f"} {
			if err := l.AppendBatch(t.Context(), words(text)); err != nil {
				t.Fatal(err)
			}
		}
		two.failing(errBusy)
		for _, text := range []string{"g", "h"} {
			if err := l.Append(t.Context(), words(text)[0]); err != nil {
				t.Fatal(err)
			}
		}
		if one.got() != "a|c d|e|g|h" || two.got() != "b|f" {
			t.Errorf("stored %q and %q", one.got(), two.got())
		}
		one.failing(errBusy)
		var status *StatusError
		if err := l.AppendBatch(t.Context(), words("i")); !errors.As(err, &status) {
			t.Error(err)
		}
	})
}

// With back-off a receiver that fails is left out for 2 s, then 4 s; when all are, a batch fails without a call.
func TestLoadBalancerBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &LoadBalancer{balancer: turns.NewBalancer(2, RoundRobin, turns.Usual)}
		for range 2 {
			c, err := Open(Options{Address: "127.0.0.1:1"})
			if err != nil {
				t.Fatal(err)
			}
			c.Close() // whose calls then need no network
			l.clients = append(l.clients, c)
		}
		l.balancer.Failed(0, time.Now())
		l.balancer.Failed(1, time.Now())
		l.last = errBusy
		if err := l.AppendBatch(t.Context(), words("a")); !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "every receiver is left out") {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if err := l.AppendBatch(t.Context(), words("a")); !errors.Is(err, ErrClosed) {
			t.Errorf("after 2 s nobody is asked: %v", err)
		}
	})
}

func TestRandomOrder(t *testing.T) {
	one, two := listen(t, Avro, ""), listen(t, Avro, "")
	l, err := OpenLoadBalancer(Balance{Order: Random}, to(Avro, one.address(), two.address())...)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 200 {
		if err := l.AppendBatch(t.Context(), words("a")); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []*receiver{one, two} {
		if n := len(r.calls); n < 60 || n > 140 {
			t.Errorf("%d of 200 batches", n)
		}
	}
}

// Many goroutines share a client; a receiver that goes away is left once, by all, and nothing is lost.
func TestFailoverIsShared(t *testing.T) {
	one, two := listen(t, Avro, ""), listen(t, Avro, "")
	f, err := OpenFailover(0, to(Avro, one.address(), two.address())...)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all sync.WaitGroup
	for lane := range 4 {
		all.Go(func() {
			for i := range 50 {
				if lane == 0 && i == 20 {
					one.failing(errBusy)
				}
				if err := f.AppendBatch(t.Context(), words(fmt.Sprintf("%d-%d", lane, i))); err != nil {
					t.Errorf("lane %d: %v", lane, err)
				}
			}
		})
	}
	all.Wait()
	stored := map[string]int{}
	for _, r := range []*receiver{one, two} {
		for _, call := range r.calls {
			for _, body := range call {
				stored[body]++
			}
		}
	}
	for body, n := range stored {
		if n > 1 {
			t.Errorf("%s came %d times", body, n)
		}
	}
	if len(stored) != 200 {
		t.Errorf("%d of 200 events", len(stored))
	}
}

func TestSeveralNeedReceivers(t *testing.T) {
	if _, err := OpenFailover(0); err == nil {
		t.Error("a failover client of nobody")
	}
	if _, err := OpenLoadBalancer(Balance{}, Options{Address: "h:1"}); err == nil || !strings.Contains(err.Error(), "two receivers at least, and has 1") {
		t.Error(err)
	}
	for _, o := range [][]Options{{{Address: "h:1"}, {Address: "h"}}, {{Address: "h:1"}, {Address: "h:1", Level: 10}}} {
		if _, err := OpenFailover(0, o...); err == nil {
			t.Errorf("%v can be opened", o)
		}
		if _, err := OpenLoadBalancer(Balance{}, o...); err == nil {
			t.Errorf("%v can be opened", o)
		}
	}
}

func TestFromProperties(t *testing.T) {
	r := listen(t, Avro, "")
	thrift := listen(t, ThriftBinary, "")
	both := "hosts h1 h2\nhosts.h1 " + r.address() + "\nhosts.h2 " + r.address()
	for _, x := range []struct{ properties, kind, odd, err string }{
		{"hosts h1\nhosts.h1 " + r.address(), "*client.Client", "", ""},
		{"client.type DEFAULT\nbatch-size 7\n" + both, "*client.Client", "hosts: names 2 receivers; only the first", ""},
		{"client.type default_failover\nmax-attempts 3\n" + both, "*client.Failover", "", ""},
		{"client.type Default_LoadBalance\nbackoff true\nmaxBackoff 5000\nhost-selector RANDOM\n" + both, "*client.LoadBalancer", "", ""},
		{"client.type thrift\nprotocol binary\nmaxConnections 3\nhosts h1\nhosts.h1 " + thrift.address(), "*client.Client", "", ""},
		{"client.type default_failover\nhosts h1 h9\nhosts.h1 " + r.address(), "*client.Failover", `hosts: names "h9", and hosts.h9 is not set; it is left out`, ""},
		{"hosts h1\nmaxIoWorkers 4\nhosts.h1 " + r.address(), "*client.Client", "maxIoWorkers: has no effect", ""},
		{"hosts h1\nbatch-size 0\nhosts.h1 " + r.address(), "*client.Client", "batch-size: 0 is less than 1; the default 100 is taken", ""},
		{"hosts h1\nrequest-timeout 999\nhosts.h1 " + r.address(), "*client.Client", "request-timeout: 999 is less than 1000; the default 20000 is taken", ""},
		{"hosts h1\nconnect-timeout soon\nhosts.h1 " + r.address(), "*client.Client", `connect-timeout: "soon" is not a number of milliseconds; the default 20000 is taken`, ""},
		{"hosts h1\nconect-timeout 5000\nhosts.h1 " + r.address(), "*client.Client", `conect-timeout: is not a setting; did you mean "connect-timeout"?`, ""},
		{"client.type default_loadbalance\nhosts h1\nhosts.h1 " + r.address(), "", "", "names one receiver; default_loadbalance needs two at least"},
		{"client.type default_loadbalance\nmaxBackoff long\n" + both, "", "", `maxBackoff: "long" is not a number of milliseconds`},
		{"client.type com.acme.Client\n" + both, "", "", "a Java class cannot be run"},
		{"hosts h1", "", "", `hosts: names "h1", and hosts.h1 is not set`},
		{"hosts h1\nhosts.h1 nowhere", "", "", `hosts.h1: "nowhere" is not host:port`},
		{"batch-size 10", "", "", "hosts: is required and not set"},
		{"client.type thrift\nkerberos true\nserver-principal flume/h@R\nhosts h1\nhosts.h1 h:1", "", "", "kerberos: is not spoken here"},
		{"compression-type deflate\ncompression-level 12\n" + both, "", "", "compression-level: 12 is no level of compression"},
		{"ssl true\ntruststore /nowhere/none.jks\n" + both, "", "", "/nowhere/none.jks"},
	} {
		properties := map[string]string{}
		for line := range strings.Lines(x.properties) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
			properties[k] = v
		}
		var odd []string
		s, err := FromProperties(properties, func(text string) { odd = append(odd, text) })
		switch {
		case x.err != "":
			if err == nil || !strings.Contains(err.Error(), x.err) {
				t.Errorf("%s\n\t%v", x.properties, err)
			}
			continue
		case err != nil:
			t.Errorf("%s\n\t%v", x.properties, err)
			continue
		}
		if kind := fmt.Sprintf("%T", s); kind != x.kind {
			t.Errorf("%s\n\t%s", x.properties, kind)
		}
		if got := strings.Join(odd, "; "); (got == "") != (x.odd == "") || !strings.Contains(got, x.odd) {
			t.Errorf("%s\n\t%s", x.properties, got)
		}
		if err := s.AppendBatch(t.Context(), words("a")); err != nil {
			t.Errorf("%s\n\t%v", x.properties, err)
		}
		s.Close()
	}
}

// The numbers of a property file arrive in the client.
func TestPropertiesReachTheClient(t *testing.T) {
	p := map[string]string{"client.type": "default_failover", "hosts": " h1  h2 ", "hosts.h1": "a:1", "hosts.h2": "[::1]:2", "batch-size": "7",
		"connect-timeout": "5000", "request-timeout": "6000", "max-attempts": "3", "compression-type": "deflate", "compression-level": "1",
		"ssl": "true", "trust-all-certs": "true"}
	s, err := FromProperties(p, func(text string) { t.Error(text) })
	if err != nil {
		t.Fatal(err)
	}
	f := s.(*Failover)
	defer f.Close()
	if f.attempts != 3 || len(f.clients) != 2 {
		t.Errorf("%d attempts, %d receivers", f.attempts, len(f.clients))
	}
	for i, address := range []string{"a:1", "[::1]:2"} {
		o := f.clients[i].o
		if o.Address != address || o.BatchSize != 7 || o.ConnectTimeout != 5*time.Second || o.RequestTimeout != 6*time.Second || !o.Deflate || o.Level != 1 ||
			o.TLS == nil || o.TLS.ServerName != []string{"a", "::1"}[i] {
			t.Errorf("%+v", o)
		}
	}
}
