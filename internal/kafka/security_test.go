package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestJAAS(t *testing.T) {
	for text, want := range map[string]string{
		`org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="a\"b\\c;";`: `org.apache.kafka.common.security.plain.PlainLoginModule map[password:a"b\c; username:alice]`,
		"x.Y optional\n // a comment\n a = 'b' /* c */ c=d-e_f@g.h:/i ; ":                                        `x.Y map[a:b c:d-e_f@g.h:/i]`,
		`x.Y REQUIRED;`:               `x.Y map[]`,
		`x.Y required a="b"`:          `error: line 1 does not have KEY="VALUE" or the semicolon`,
		`x.Y required a=;`:            `error: line 1 does not have a value`,
		`x.Y required a="b;`:          `error: line 1 does not have a value`,
		`x.Y sometimes;`:              `error: line 1 does not have required`,
		`x.Y required; x.Z required;`: `error: holds more than one`,
		``:                            `error: line 1 does not have a login module`,
		"\n\nx.Y required\na b;":      `error: line 4 does not have`,
		`x.Y required /* a="b";`:      `error: line 1`,
	} {
		m, err := parseLogin(text)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = fmt.Sprint(m.class, " ", m.options)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestJAASFile(t *testing.T) {
	const file = `
// for brokers
KafkaServer {
  org.apache.kafka.common.security.plain.PlainLoginModule required username="broker" password="x";
};
KafkaClient {
  com.sun.security.auth.module.Krb5LoginModule required
  useKeyTab=true keyTab="/etc/security/kafka.keytab" principal="client@EXAMPLE.ORG";
  other.Module optional;
};`
	m, err := findLogin(file, "KafkaClient")
	if err != nil || m.class != "com.sun.security.auth.module.Krb5LoginModule" || m.option("keyTab") != "/etc/security/kafka.keytab" {
		t.Errorf("got %+v, %v", m, err)
	}
	for text, want := range map[string]string{
		file + " Client { };":     "there is no section Other",
		"Other { x.Y };":          "does not have a login module",
		"Other x":                 "does not have a section",
		"Other { x.Y required; }": "does not have a semicolon",
	} {
		if _, err := findLogin(text, "Other"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "jaas.conf")
	if err := os.WriteFile(path, []byte("Other { };"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLogin(path, "KafkaClient"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

// No error shows what it was made of.
func FuzzJAAS(f *testing.F) {
	f.Add(`x.Y required a="b" c='d';`)
	f.Add(`KafkaClient { x.Y required a=b; };`)
	f.Add("x.Y /* \n // ")
	f.Fuzz(func(t *testing.T, text string) {
		const secret = "Pa55w0rd#é"
		text = strings.ReplaceAll(text, "b", secret)
		for _, err := range []error{second(parseLogin(text)), second(findLogin(text, "KafkaClient"))} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestUnsecuredToken(t *testing.T) {
	now := time.UnixMilli(1700000000500)
	auth, err := unsecured(map[string]string{
		"unsecuredLoginStringClaim_sub": "alice", "unsecuredLoginNumberClaim_n": "1.5", "unsecuredLoginListClaim_l": ",a,b",
		"unsecuredLoginStringClaim_scope": "x y", "unsecuredLoginLifetimeSeconds": "60", "unsecuredLoginExtension_traceId": "123", "other": "x",
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(auth.Token, ".")
	if len(parts) != 3 || parts[2] != "" {
		t.Fatalf("token %q", auth.Token)
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil || string(head) != `{"alg":"none"}` {
		t.Errorf("head %s, %v", head, err)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(claims); got != "map[exp:1.7000000605e+09 iat:1.7000000005e+09 l:[a b] n:1.5 scope:[x y] sub:alice]" {
		t.Errorf("claims %s", got)
	}
	if fmt.Sprint(auth.Extensions) != "map[traceId:123]" {
		t.Errorf("extensions %v", auth.Extensions)
	}
	for _, options := range []map[string]string{{}, {"unsecuredLoginStringClaim_sub": "a", "unsecuredLoginLifetimeSeconds": "x"}, {"unsecuredLoginStringClaim_sub": "a", "unsecuredLoginNumberClaim_n": "x"}} {
		if _, err := unsecured(options, now); err == nil {
			t.Errorf("%v is taken", options)
		}
	}
}

// endpoint answers as an authorization server.
func endpoint(t *testing.T, answer http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func bearer(t *testing.T, url string, more ...string) *login {
	t.Helper()
	s, problems := bind(Consumer, append([]string{
		"security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url", url,
		"sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
		"sasl.jaas.config", `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId="id" clientSecret="s3cret" scope="kafka" extension_pool="p";`,
	}, more...)...)
	if problems.Fatal() {
		t.Fatal(problems)
	}
	return &s.c.c.sasl
}

func TestTokenEndpoint(t *testing.T) {
	asked := 0
	url := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, pass, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || user != "id" || pass != "s3cret" || r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("scope") != "kafka" {
			t.Errorf("asked by %s/%s with %v, %v", user, pass, r.Form, err)
		}
		fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": 3600, "token_type": "bearer"}`, asked)
	})
	l := bearer(t, url)
	tokens, err := l.tokens(l.module)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := tokens.get(t.Context()); err != nil || got != "token-1" {
			t.Errorf("got %s, %v", got, err)
		}
	}
	tokens.until = time.Now().Add(-time.Second)
	if got, err := tokens.get(t.Context()); err != nil || got != "token-2" {
		t.Errorf("a token whose time is over: got %s, %v", got, err)
	}
	m, err := l.bearer(l.module)
	if err != nil || m.Name() != "OAUTHBEARER" {
		t.Fatal(m, err)
	}
	_, first, err := m.Authenticate(t.Context(), "b:9092")
	if err != nil || !bytes.Contains(first, []byte("auth=Bearer token-3\x01pool=p\x01")) {
		t.Errorf("first message %q, %v", first, err)
	}
}

// The endpoint's certificate is judged by the stores among the login module's options.
func TestTokenEndpointTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"access_token": "t"}`) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	defer s.Close()
	trust := write(t, "trust.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	for option, want := range map[string]string{"": "unknown authority", `ssl.truststore.location="` + trust + `"`: ""} {
		l := bearer(t, s.URL, "client.id", "c")
		m, err := parseLogin(`x.OAuthBearerLoginModule required clientId="id" clientSecret="s" ` + option + `;`)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := l.tokens(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.get(t.Context()); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", option, err)
		}
	}
}

func TestTokenEndpointFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "invalid_client", "error_description": "who?"}`)
		}, "401 Unauthorized invalid_client who?"},
		"no JSON":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "reading the answer"},
		"no token": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, "no access_token"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client has gone
			<-r.Context().Done()
		}, "Timeout"},
	} {
		l := bearer(t, endpoint(t, c.answer), "sasl.login.read.timeout.ms", "200")
		tokens, err := l.tokens(l.module)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tokens.get(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"ftp://x/y", "token", "http://"} {
		l := bearer(t, url)
		if _, err := l.tokens(l.module); err == nil {
			t.Errorf("%s is taken for an endpoint", url)
		}
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(" abc \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := bearer(t, "file://"+path)
	m, err := l.bearer(l.module)
	if err != nil {
		t.Fatal(err)
	}
	if _, first, err := m.Authenticate(t.Context(), "b:1"); err != nil || !bytes.Contains(first, []byte("Bearer abc\x01")) {
		t.Errorf("got %q, %v", first, err)
	}
}

// What is missing for a login is said when the component opens, without the secrets that are there.
func TestLoginFails(t *testing.T) {
	const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="hunter2";`
	for name, c := range map[string]struct {
		pairs []string
		want  string
	}{
		"nothing":          {[]string{"sasl.mechanism", "PLAIN"}, "sasl.jaas.config is not set, and neither is -Djava.security.auth.login.config"},
		"another module":   {[]string{"sasl.mechanism", "SCRAM-SHA-256", "sasl.jaas.config", plain}, "needs the login module ScramLoginModule"},
		"Kerberos":         {[]string{"sasl.jaas.config", plain}, "needs the login module com.sun.security.auth.module.Krb5LoginModule"},
		"no name":          {[]string{"sasl.mechanism", "PLAIN", "sasl.jaas.config", `x.PlainLoginModule required password="hunter2";`}, "no username"},
		"no service":       {[]string{"sasl.jaas.config", `x.Krb5LoginModule required;`}, "sasl.kerberos.service.name is not set"},
		"no key tab":       {[]string{"sasl.kerberos.service.name", "kafka", "sasl.jaas.config", `x.Krb5LoginModule required keyTab="/nowhere/kt" principal="u@R";`}, "/nowhere/kt"},
		"no principal":     {[]string{"sasl.kerberos.service.name", "kafka", "sasl.jaas.config", `x.Krb5LoginModule required;`}, "neither keyTab nor useTicketCache=true"},
		"no client secret": {[]string{"sasl.mechanism", "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url", "https://x/", "sasl.jaas.config", `x.OAuthBearerLoginModule required clientId="id";`}, "no clientId and clientSecret"},
		"no bearer":        {[]string{"sasl.mechanism", "OAUTHBEARER", "sasl.jaas.config", plain}, "needs the login module OAuthBearerLoginModule"},
	} {
		t.Run(name, func(t *testing.T) {
			krb5 := filepath.Join(t.TempDir(), "krb5.conf")
			if err := os.WriteFile(krb5, []byte("[libdefaults]\n default_realm = R\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, problems := bindWith(Consumer, map[string]string{"java.security.krb5.conf": krb5}, nil, append([]string{"security.protocol", "SASL_PLAINTEXT"}, c.pairs...)...)
			if problems.Fatal() {
				t.Fatal(problems)
			}
			_, err := s.c.c.options("kafka.consumer.", s.c.jaas, s.c.krb5)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.pem, _ = certificate(t, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func certificate(t *testing.T, by *authority, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open connects to a fake broker with these properties.
func open(t *testing.T, c *kfake.Cluster, properties, env map[string]string, pairs ...string) error {
	t.Helper()
	s, problems := bindWith(Producer, properties, env, pairs...)
	if problems.Fatal() {
		t.Fatal(problems)
	}
	cl, err := s.c.Open(t.Context(), c.ListenAddrs(), "a1-k1", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer cl.Close()
	r := &kgo.Record{Topic: "t", Value: []byte("v")}
	var sent error
	cl.Produce(t.Context(), r, func(_ *kgo.Record, err error) { sent = err })
	return errors.Join(cl.Flush(t.Context()), sent)
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "t")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	_, _, brokerCert, brokerKey := certificate(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	_, _, wrongCert, wrongKey := certificate(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"elsewhere"}})
	_, _, clientCert, clientKey := certificate(t, ca, &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server := func(cert, key string) *tls.Config {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	plain := cluster(t, kfake.TLS(server(brokerCert, brokerKey)))
	misnamed := cluster(t, kfake.TLS(server(wrongCert, wrongKey)))
	mutual := server(brokerCert, brokerKey)
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, pool
	strict := cluster(t, kfake.TLS(mutual))
	trust, distrust, keys := write(t, "ca.pem", ca.pem), write(t, "other.pem", other.pem), write(t, "client.pem", clientKey+clientCert)

	for name, c := range map[string]struct {
		broker     *kfake.Cluster
		pairs      []string
		properties map[string]string
		env        map[string]string
		want       string
	}{
		"trust store":       {plain, []string{"ssl.truststore.location", trust}, nil, nil, ""},
		"as text":           {plain, []string{"ssl.truststore.type", "PEM", "ssl.truststore.certificates", ca.pem}, nil, nil, ""},
		"of the agent":      {plain, nil, map[string]string{"javax.net.ssl.trustStore": trust}, nil, ""},
		"of environment":    {plain, nil, nil, map[string]string{"FLUME_SSL_TRUSTSTORE_PATH": trust}, ""},
		"own goes first":    {plain, []string{"ssl.truststore.location", trust}, map[string]string{"javax.net.ssl.trustStore": distrust}, nil, ""},
		"another authority": {plain, []string{"ssl.truststore.location", distrust}, nil, nil, "unknown authority"},
		"no trust store":    {plain, nil, nil, nil, "unknown authority"},
		"missing file":      {plain, []string{"ssl.truststore.location", "/nowhere/trust"}, nil, nil, "kafka.producer.ssl.*: reading the trust store: open /nowhere/trust"},
		"another name":      {misnamed, []string{"ssl.truststore.location", trust}, nil, nil, "127.0.0.1"},
		"name unchecked":    {misnamed, []string{"ssl.truststore.location", trust, "ssl.disableTLSHostnameVerification", "true"}, nil, nil, ""},
		"old protocol":      {plain, []string{"ssl.truststore.location", trust, "ssl.enabled.protocols", "TLSv1.1", "ssl.protocol", "TLSv1.1"}, nil, nil, "protocol version"},
		"own certificate":   {strict, []string{"ssl.truststore.location", trust, "ssl.keystore.location", keys}, nil, nil, ""},
		"as text too":       {strict, []string{"ssl.truststore.location", trust, "ssl.keystore.key", clientKey, "ssl.keystore.certificate.chain", clientCert}, nil, nil, ""},
		"no certificate":    {strict, []string{"ssl.truststore.location", trust}, nil, nil, "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			err := open(t, c.broker, c.properties, c.env, append([]string{"security.protocol", "SSL"}, c.pairs...)...)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSASL(t *testing.T) {
	jaas := func(module, user, pass string) string {
		return fmt.Sprintf(`org.apache.kafka.common.security.%sLoginModule required username="%s" password="%s";`, module, user, pass)
	}
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "plain", "p1"), kfake.Superuser("SCRAM-SHA-256", "s256", "p2"), kfake.Superuser("SCRAM-SHA-512", "s512", "p3"))
	file := write(t, "jaas.conf", "KafkaClient { "+jaas("plain.Plain", "plain", "p1")+" };")
	for name, x := range map[string]struct {
		pairs      []string
		properties map[string]string
		want       string
	}{
		"PLAIN":          {[]string{"sasl.mechanism", "PLAIN", "sasl.jaas.config", jaas("plain.Plain", "plain", "p1")}, nil, ""},
		"SCRAM-SHA-256":  {[]string{"sasl.mechanism", "SCRAM-SHA-256", "sasl.jaas.config", jaas("scram.Scram", "s256", "p2")}, nil, ""},
		"SCRAM-SHA-512":  {[]string{"sasl.mechanism", "SCRAM-SHA-512", "sasl.jaas.config", jaas("scram.Scram", "s512", "p3")}, nil, ""},
		"JAAS file":      {[]string{"sasl.mechanism", "PLAIN"}, map[string]string{"java.security.auth.login.config": file}, ""},
		"wrong password": {[]string{"sasl.mechanism", "PLAIN", "sasl.jaas.config", jaas("plain.Plain", "plain", "hunter2")}, nil, "reaching Kafka at"},
	} {
		t.Run(name, func(t *testing.T) {
			err := open(t, c, x.properties, nil, append([]string{"security.protocol", "SASL_PLAINTEXT"}, x.pairs...)...)
			if x.want == "" && err != nil || x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %v, want %q", err, x.want)
			}
		})
	}
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// What goes on for long is said once for each reason, and that it is over.
func TestLogger(t *testing.T) {
	var out lines
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)))
	broker := kgo.BrokerMetadata{Host: "b1", Port: 9092}
	l.OnBrokerConnect(broker, 0, nil, errors.New("not there yet"))
	l.OnBrokerConnect(broker, 0, nil, nil)
	if text := out.buf.String(); text != "" {
		t.Errorf("the error of Open has it, and the log too:\n%s", text)
	}
	l.opened()
	for range 50 {
		l.OnBrokerConnect(broker, 0, nil, errors.New("connection refused"))
		l.OnBrokerConnect(broker, 0, nil, context.Canceled)
		l.Log(kgo.LogLevelError, "bumping error count", "err", errors.New("y"))
	}
	l.OnBrokerConnect(broker, 0, nil, errors.New("no route"))
	if got := l.reasons(); got != "" {
		t.Errorf("one broker's reason is in the error already: %s", got)
	}
	l.OnBrokerConnect(kgo.BrokerMetadata{Host: "b2", Port: 1}, 0, nil, errors.New("refused"))
	if got := l.reasons(); got != " (b1:9092: no route; b2:1: refused)" {
		t.Errorf("reasons %q", got)
	}
	l.OnBrokerConnect(broker, 0, nil, nil)
	l.OnBrokerConnect(broker, 0, nil, nil)
	text := out.buf.String()
	if n := strings.Count(text, "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{`broker=b1:9092 error="connection refused"`, `error="no route" repeated=49`, `level=INFO msg="Kafka broker reached again" broker=b1:9092`} {
		if !strings.Contains(text, want) {
			t.Errorf("not logged: %s\n%s", want, text)
		}
	}
}
