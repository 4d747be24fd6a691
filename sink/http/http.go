// Package http is the HTTP sink: it posts the body of each event to a web service.
//
//	Deliver ─▶ POST body ─▶ status ─▶ rollback?  no ─▶ 2XX: delivered; else: the dead letters
//	                                             yes ─▶ this event and all behind it are offered again, in order
//	                                  backoff?   after what was not rolled back: a pause before the next event, 1 s to 5 s
//	                                  incrementMetrics? counted in EventDrainSuccessCount
//	           no answer ─▶ offered again, counted in EventWriteFail
//
// What a status means stands in the settings: those of the status itself (rollback.404), else those of its class
// (rollback.4XX), else the default. A status of success, 2XX, does not follow the defaults: it means delivered and counted
// unless settings of its own say otherwise. By the defaults Flume sends an event for ever that the service has taken each time.
//
// An event that is given up, because rollback is false for a status that is no success, goes to the dead letters. Redirections
// are followed where the body goes along (307, 308); where it would not, which loses the event in Flume, the status is taken
// as it is.
//
// Each event is a request of its own, one after the other on a connection that stays. When the agent dies in the middle of a batch its
// events are posted again.
package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/supervise"
	sluicetls "github.com/sluice-io/sluice/internal/tls"
)

// Kind is the HTTP sink.
var Kind = flume.Define[Settings, flume.Sink]("http", "org.apache.flume.sink.http.HttpSink",
	"Posts the body of each event to a web service.", open)

// Settings of the HTTP sink.
type Settings struct {
	Endpoint       string
	ConnectTimeout time.Duration
	RequestTimeout time.Duration
	ContentType    string
	Accept         string
	Backoff        rule
	Rollback       rule
	Count          rule
	BatchSize      int
	Store          store

	url *url.URL
}

// Declare declares Flume's settings and some of ours: batchSize and the stores of TLS.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Endpoint, "endpoint", "", "The URL to post to, http or https.").Required().Bound(s.checkEndpoint)
	d.Millis(&s.ConnectTimeout, "connectTimeout", 5*time.Second, "How long to wait for a connection, in ms.").AtLeast(1)
	d.Millis(&s.RequestTimeout, "requestTimeout", 5*time.Second, "How long to wait for the answer, and for the service to take a piece of the body, in ms.").AtLeast(1)
	d.String(&s.ContentType, "contentTypeHeader", "text/plain", "The Content-Type of the requests.")
	d.String(&s.Accept, "acceptHeader", "text/plain", "The Accept header of the requests.")
	s.Backoff.declare(d, "backoff", "defaultBackoff", true, "Whether to pause before the next event after a status that is not rolled back (what is rolled back is always retried after a pause)")
	s.Rollback.declare(d, "rollback", "defaultRollback", true, "Whether to send the event again after a status; if not, one that is no success puts it into the dead letters")
	s.Count.declare(d, "incrementMetrics", "defaultIncrementMetrics", false, "Whether to count the event in EventDrainSuccessCount")
	d.BatchSize(&s.BatchSize, "batchSize", 100, "How many events are taken from the channel at a time; each is posted alone. Flume takes 1. A setting of Sluice's own.").AtLeast(1)
	d.Under("", &s.Store)
}

func (s *Settings) checkEndpoint() error {
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil:
		return errors.New("the value is not a URL") // which may hold a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("the value is not a URL that begins with http:// or https:// and a host")
	}
	s.url = u
	return nil
}

// Destinations is the service, whatever the headers.
func (s *Settings) Destinations(flume.Known) []flume.Endpoint {
	port := s.url.Port()
	switch {
	case port != "":
	case s.url.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return []flume.Endpoint{flume.Endpoint("http://" + net.JoinHostPort(s.url.Hostname(), port))}
}

// store are the key stores for https. The JVM has them for all of its https.
type store struct{ trust, trustPassword, key, keyPassword string }

// Declare declares the two stores.
func (s *store) Declare(d *conf.Decl) {
	d.String(&s.trust, "truststore", "", "The file with the certificates to trust for https: JKS, PKCS12 or PEM. Without one the system's authorities are trusted.").
		From("javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH")
	d.String(&s.trustPassword, "truststore-password", "", "The password of the trust store; a JKS file is also read without.").Secret().
		From("javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD")
	d.String(&s.key, "keystore", "", "The file with the key and certificate to show to a service that asks for them.").
		From("javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH")
	d.String(&s.keyPassword, "keystore-password", "", "The password of the key store, and of the key in it.").Secret().
		From("javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD")
}

// config is for https to a host. As in Java, and unlike other sinks of Flume, the certificate must name it.
func (s *store) config(host string) (*tls.Config, error) {
	v := sluicetls.Verifier{Host: host}
	// Verifier verifies, by Java's rules.
	c := &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	if s.trust != "" {
		trust, err := sluicetls.LoadTruststore(s.trust, s.trustPassword)
		if err != nil {
			return nil, err
		}
		v.Trust = trust
	}
	if s.key != "" {
		cert, err := sluicetls.LoadKeystore(s.key, s.keyPassword, "")
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	c.VerifyConnection = v.Verify
	return c, nil
}

func open(_ context.Context, s *Settings, env flume.Env) (flume.Sink, error) {
	k := &sink{settings: s, shown: shown(s.url),
		attempts: env.Counter("EventDrainAttemptCount"), successes: env.Counter("EventDrainSuccessCount"), failures: env.Counter("EventWriteFail")}
	k.transport = &http.Transport{
		DialContext: k.dial, TLSHandshakeTimeout: s.ConnectTimeout, ResponseHeaderTimeout: s.RequestTimeout,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout: 5 * time.Second, // as in Java; services close theirs later
	}
	if s.url.Scheme == "https" {
		config, err := s.Store.config(s.url.Hostname())
		if err != nil {
			return nil, err
		}
		k.transport.TLSClientConfig = config
	}
	k.client = &http.Client{Transport: k.transport, CheckRedirect: follow}
	return k, nil
}

// mostRedirections is how many are followed for one event.
const mostRedirections = 5

// follow follows where the request stays the same and does not become readable on the way.
func follow(next *http.Request, before []*http.Request) error {
	first := before[0]
	if next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || len(before) > mostRedirections {
		return http.ErrUseLastResponse
	}
	return nil
}

type sink struct {
	settings  *Settings
	shown     string // the URL without its secrets
	transport *http.Transport
	client    *http.Client

	attempts, successes, failures *atomic.Int64

	pauses int       // in a row
	next   time.Time // not before then; zero: at once
}

// dial opens a connection on which every write is bounded.
func (k *sink) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: k.settings.ConnectTimeout}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return bounded{c, k.settings.RequestTimeout}, nil
}

// bounded is a connection to a service that may stop reading.
type bounded struct {
	net.Conn
	most time.Duration
}

func (b bounded) Write(p []byte) (int, error) {
	b.SetWriteDeadline(time.Now().Add(b.most))
	return b.Conn.Write(p)
}

// Deliver posts the events in their order, up to the first that is to be sent again.
func (k *sink) Deliver(ctx context.Context, b flume.Batch) error {
	var rejected []flume.Rejected
	for i := range b {
		err := k.pause(ctx)
		if err == nil {
			err = k.post(ctx, b[i].Body)
		}
		var given *givenUp
		switch {
		case err == nil:
		case errors.As(err, &given):
			rejected = append(rejected, flume.Rejected{Index: i, Err: err})
		case i == 0:
			return err
		default:
			pending := make([]int, len(b)-i)
			for n := range pending {
				pending[n] = i + n
			}
			return &flume.PartialError{Rejected: rejected, Pending: pending, InOrder: true, Err: err}
		}
	}
	if rejected != nil {
		return &flume.PartialError{Rejected: rejected}
	}
	return nil
}

// pause waits as Flume does between two events after a status that asks for it.
func (k *sink) pause(ctx context.Context) error {
	if k.next.IsZero() {
		return nil
	}
	if err := supervise.Sleep(ctx, time.Until(k.next)); err != nil {
		return fmt.Errorf("pausing before the next request to %s: %w", k.shown, err)
	}
	return nil
}

// A givenUp is an event that the service has refused, and that the settings do not send again.
type givenUp struct{ error }

// post sends one event. Nil: delivered.
func (k *sink) post(ctx context.Context, body []byte) error {
	k.attempts.Add(1)
	status, err := k.send(ctx, body)
	if err != nil {
		k.failures.Add(1)
		return err
	}
	s := k.settings
	code := status.code
	if s.Count.applies(code, success(code) || s.Count.usual) {
		k.successes.Add(1)
	}
	if s.Rollback.applies(code, !success(code) && s.Rollback.usual) {
		return fmt.Errorf("posting to %s: the service answered %s%s", k.shown, status.text, hint(code))
	}
	if s.Backoff.applies(code, !success(code) && s.Backoff.usual) {
		k.pauses++
		k.next = time.Now().Add(min(time.Duration(k.pauses)*time.Second, 5*time.Second))
	} else {
		k.pauses, k.next = 0, time.Time{}
	}
	if !success(code) {
		return &givenUp{fmt.Errorf("posting to %s: the service answered %s, and rollback is false for it", k.shown, status.text)}
	}
	return nil
}

// hint says how to go on where the same event can only ever fail.
func hint(code int) string {
	switch {
	case success(code):
		return ", and rollback is true for it"
	case code >= 400 && code < 500:
		return fmt.Sprintf("; it is sent again until it is taken (rollback.%d = false puts such events into the dead letters)", code)
	case code >= 300 && code < 400:
		return "; is the endpoint right? The request is not redirected, for its body would be lost"
	}
	return ""
}

// shown is a URL without a password and without the values of its query, which are often tokens.
func shown(u *url.URL) string {
	v := *u
	v.Fragment, v.RawFragment = "", ""
	if v.RawQuery != "" {
		parts := strings.Split(v.RawQuery, "&")
		for i, part := range parts {
			name, _, named := strings.Cut(part, "=")
			if parts[i] = "xxxxx"; named {
				parts[i] = name + "=xxxxx"
			}
		}
		v.RawQuery = strings.Join(parts, "&")
	}
	return v.Redacted()
}

// discreet is an error of net/http, which names the URL, without the secrets of that.
func discreet(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	where := "another URL"
	if u, err := url.Parse(e.URL); err == nil {
		where = shown(u)
	}
	why := e.Err
	if strings.Contains(why.Error(), "Location header") { // net/http has no name for it, and quotes the whole field
		why = errors.New("the service redirects to what is no URL")
	}
	return fmt.Errorf("%s %q: %w", e.Op, where, why)
}

// mostAnswer is how much of an answer is read so that the connection can stay.
const mostAnswer = 64 << 10

// An outcome is a status as a number and in words.
type outcome struct {
	code int
	text string
}

func (k *sink) send(ctx context.Context, body []byte) (outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.settings.url.String(), bytes.NewReader(body))
	if err != nil {
		return outcome{}, fmt.Errorf("posting to %s: %w", k.shown, discreet(err))
	}
	r.Header.Set("Content-Type", k.settings.ContentType)
	r.Header.Set("Accept", k.settings.Accept)
	r.Header.Set("User-Agent", "Sluice")
	a, err := k.client.Do(r)
	if err != nil {
		return outcome{}, fmt.Errorf("sending a request: %w", discreet(err))
	}
	defer a.Body.Close()
	late := time.AfterFunc(k.settings.RequestTimeout, cancel)
	defer late.Stop()
	// The status stands, whatever becomes of the rest of the answer.
	_, _ = io.CopyN(io.Discard, a.Body, mostAnswer)
	return outcome{a.StatusCode, a.Status}, nil
}

func (k *sink) Limits() flume.Limits { return flume.Limits{Events: k.settings.BatchSize} }

// Counts says that the settings decide what is counted.
func (k *sink) Counts() bool { return true }

func (k *sink) Close() error {
	k.transport.CloseIdleConnections()
	return nil
}
