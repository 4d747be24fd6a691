package tls

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
)

const password = "changeit"

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseKeystore(t *testing.T) {
	f := func(name, password, keyPassword string, links int, want string) {
		t.Helper()
		c, err := ParseKeystore(load(t, name), password, keyPassword)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if len(c.Certificate) != links || c.Leaf.Subject.CommonName != want {
			t.Errorf("%s: %d certificates of %s, want %d of %s", name, len(c.Certificate), c.Leaf.Subject, links, want)
		}
	}
	f("server.jks", password, "", 1, "localhost")
	f("server.jks", password, password, 1, "localhost")
	f("server.p12", password, password, 1, "localhost")
	f("other-key.jks", password, "otherkey", 1, "localhost")
	f("chain.p12", password, password, 3, "leaf.example")
	f("chain.pem", "", "", 3, "leaf.example")

	bad := func(data []byte, password, keyPassword, want string) {
		t.Helper()
		_, err := ParseKeystore(data, password, keyPassword)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	jks := load(t, "server.jks")
	bad(jks, "wrong", "", "the password is wrong")
	bad(load(t, "other-key.jks"), password, "", "the password of the key is wrong")
	bad(load(t, "trust.jks"), password, "", "no private key")
	bad(load(t, "server.p12"), "wrong", "", "the password is wrong")
	bad(load(t, "trust.p12"), password, "", "private key missing")
	bad(load(t, "server.crt.pem"), "", "", "no private key")
	bad([]byte("hello"), "", "", "neither JKS nor PKCS12 nor PEM")
	bad(nil, "", "", "neither JKS nor PKCS12 nor PEM")
	bad([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "", "", "encrypted key in PEM")
	bad(append([]byte{0xce, 0xce, 0xce, 0xce}, jks[4:]...), password, "", "JCEKS")
	for n := range jks {
		if _, err := ParseKeystore(jks[:n], "", ""); err == nil {
			t.Fatalf("read the first %d bytes of a key store", n)
		}
	}
}

func TestParseTruststore(t *testing.T) {
	f := func(name, password string, want ...string) {
		t.Helper()
		trust, err := ParseTruststore(load(t, name), password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		var names []string
		for _, c := range trust {
			names = append(names, c.Subject.CommonName)
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q, want %q", name, names, want)
		}
	}
	f("trust.jks", password, "localhost")
	f("trust.jks", "", "localhost")
	f("trust.p12", password, "localhost")
	f("ca-trust.p12", password, "Test authority")
	f("ca.crt.pem", "", "Test authority")
	f("chain.pem", "", "Test authority", "Test authority 2", "leaf.example")
	f("server.jks", password, "localhost") // the first certificate of a key
	f("server.p12", password, "localhost")
	f("chain.p12", password, "leaf.example", "localhost") // and what was imported as trusted, not the key's own authorities

	bad := func(data []byte, password, want string) {
		t.Helper()
		_, err := ParseTruststore(data, password)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	bad(load(t, "trust.jks"), "wrong", "the password is wrong")
	bad(load(t, "trust.p12"), "", "the password is wrong, or not set")
	bad([]byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), "", "no certificate")
	bad([]byte{0x30, 0x82}, "", "PKCS12")
	bad(nil, "", "neither JKS nor PKCS12 nor PEM")
}

// bind reads a section's settings, written as "key value", and returns the problems.
func bind(s conf.Settings, lookup conf.Lookup, settings ...string) conf.Problems {
	var values conf.Values
	for i, line := range settings {
		key, text, _ := strings.Cut(line, " ")
		values = append(values, conf.Value{Key: key, Text: text, Pos: conf.Pos{File: "f", Line: i + 1}})
	}
	sec := conf.NewSection("a", "sources", "r", "a.sources.r.", conf.Pos{File: "f", Line: 1}, values)
	sec.Property = lookup
	_, problems := conf.Bind(s, sec)
	return problems
}

// meet connects a client to a server over a pipe and returns what was agreed on.
func meet(t *testing.T, server *Server, client *Client, host string) (tls.ConnectionState, error) {
	t.Helper()
	sc, err := server.Config()
	if err != nil {
		t.Fatal(err)
	}
	cc, err := client.Config(host)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, sc)
		err := s.HandshakeContext(context.Background())
		if err == nil {
			_, err = s.Write([]byte{1}) // with TLS 1.3 the client is done before the server
		}
		done <- err
	}()
	c := tls.Client(b, cc)
	if err := c.HandshakeContext(context.Background()); err != nil {
		b.Close()
		<-done
		return tls.ConnectionState{}, err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), nil
}

func TestHandshake(t *testing.T) {
	f := func(server, client []string, host, want string) {
		t.Helper()
		var s Server
		var c Client
		if p := bind(&s, nil, append(server, "ssl true", "keystore-password "+password)...); p != nil {
			t.Fatal(p)
		}
		if p := bind(&c, nil, append(client, "ssl TRUE", "truststore-password "+password)...); p != nil {
			t.Fatal(p)
		}
		state, err := meet(t, &s, &c, host)
		got := tls.VersionName(state.Version)
		if err != nil {
			got = err.Error()
		} else if state.Version < tls.VersionTLS13 {
			got += " " + tls.CipherSuiteName(state.CipherSuite)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q, %q: %s, want %s", server, client, got, want)
		}
	}
	selfSigned := []string{"keystore testdata/server.jks"}
	chain := []string{"keystore testdata/chain.p12", "keystore-type JKS"}
	f(selfSigned, []string{"truststore testdata/trust.jks"}, "localhost", "TLS 1.3")
	f(selfSigned, []string{"truststore testdata/trust.jks"}, "other", "TLS 1.3") // Flume compares no names
	f(selfSigned, []string{"truststore testdata/trust.jks", "verify-hostname true"}, "localhost", "TLS 1.3")
	f(selfSigned, []string{"truststore testdata/trust.jks", "verify-hostname true"}, "127.0.0.1", "TLS 1.3")
	f(selfSigned, []string{"truststore testdata/trust.jks", "verify-hostname true"}, "other", "not other")
	f(selfSigned, []string{"truststore testdata/ca-trust.p12"}, "localhost", "verifying the server's certificate (CN=localhost)")
	f(selfSigned, nil, "localhost", "verifying the server's certificate (CN=localhost)") // the system does not know it
	f(selfSigned, []string{"trust-all-certs true"}, "localhost", "TLS 1.3")
	f(chain, []string{"truststore testdata/ca-trust.p12"}, "leaf.example", "TLS 1.3")
	f(chain, []string{"truststore testdata/trust.jks"}, "leaf.example", "verifying")
	f(append(selfSigned, "exclude-protocols SSLv3 TLSv1.3"), []string{"trust-all-certs true"}, "h", "TLS 1.2")
	f(selfSigned, []string{"trust-all-certs true", "include-protocols TLSv1.2"}, "h", "TLS 1.2")
	f(append(selfSigned, "include-protocols TLSv1.1"), []string{"trust-all-certs true"}, "h", "protocol version")
	f(append(selfSigned, "include-protocols TLSv1.1"), []string{"trust-all-certs true", "include-protocols TLSv1.1,TLSv1.2"}, "h", "TLS 1.1")
	f(append(selfSigned, "include-cipher-suites TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), []string{"trust-all-certs true"}, "h",
		"TLS 1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
	f(selfSigned, []string{"trust-all-certs true", "include-cipher-suites SSL_RSA_WITH_3DES_EDE_CBC_SHA TLS_RSA_WITH_AES_128_CBC_SHA"}, "h", "handshake failure")
	f(append(selfSigned, "include-cipher-suites TLS_RSA_WITH_AES_128_CBC_SHA"), []string{"trust-all-certs true", "include-cipher-suites TLS_RSA_WITH_AES_128_CBC_SHA"}, "h",
		"TLS 1.2 TLS_RSA_WITH_AES_128_CBC_SHA")
	f(append(selfSigned, "exclude-cipher-suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), []string{"trust-all-certs true", "include-protocols TLSv1.2"}, "h",
		"TLS 1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
	f(selfSigned, []string{"trust-all-certs true", "include-cipher-suites TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256"}, "h", "TLS 1.3")
}

func TestSettings(t *testing.T) {
	f := func(s conf.Settings, want string, settings ...string) {
		t.Helper()
		got := strings.TrimSpace(bind(s, nil, settings...).String())
		if got != want {
			t.Errorf("%q: %q, want %q", settings, got, want)
		}
	}
	f(&Server{}, "")
	f(&Client{}, "")
	f(&Client{}, "", "ssl true")
	f(&Server{}, `f:1: a.sources.r.keystore: is required with ssl = true`, "ssl true")
	f(&Server{}, `f:1: a.sources.r.keystore-password: is required with ssl = true (only a key store whose name ends with .pem or .crt goes without)`, "ssl true", "keystore x.jks")
	f(&Server{}, "", "ssl true", "keystore x.pem")
	f(&Server{}, "", "include-protocols nonsense") // nobody asked for TLS
	f(&Client{}, `f:2: a.sources.r.include-protocols: names "TLSv12", which is no protocol that Sluice speaks (TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)`,
		"ssl true", "include-protocols TLSv12 TLSv1.2")
	f(&Client{}, `f:2: a.sources.r.exclude-protocols: names "TLS1", which is no protocol (TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)`,
		"ssl true", "exclude-protocols TLS1 SSLv2Hello")
	f(&Client{}, `f:2: a.sources.r.include-protocols: leaves a gap below TLSv1.3; Sluice speaks a range of protocols`, "ssl true", "include-protocols TLSv1.3 TLSv1.1")
	f(&Client{}, `f:1: a.sources.r.include-protocols: and exclude-protocols leave no protocol to speak`, "ssl true", "exclude-protocols TLSv1.2 TLSv1.3")
	f(&Client{}, `f:2: a.sources.r.include-cipher-suites: names "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", which Sluice does not have`,
		"ssl true", "include-cipher-suites TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
	f(&Client{}, `f:2: a.sources.r.exclude-cipher-suites: names a part of TLS 1.3's cipher suites, among which Go does not let one choose; TLSv1.3 is not spoken`,
		"ssl true", "exclude-cipher-suites TLS_AES_128_GCM_SHA256")
	f(&Client{}, `f:2: a.sources.r.include-cipher-suites: leaves no cipher suite that Sluice has`,
		"ssl true", "include-cipher-suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "include-protocols TLSv1.3")
	f(&Client{}, `f:2: a.sources.r.exclude-cipher-suites: names "AES", which is no cipher suite`, "ssl true", "exclude-cipher-suites AES")
}

func TestGlobals(t *testing.T) {
	globals := map[string]string{
		"javax.net.ssl.keyStore": "testdata/server.p12", "javax.net.ssl.keyStorePassword": password,
		"javax.net.ssl.trustStore": "testdata/trust.p12", "javax.net.ssl.trustStorePassword": password,
		"flume.ssl.include.protocols": "TLSv1.2,TLSv1.3", "flume.ssl.exclude.protocols": "TLSv1.3,TLSv1",
	}
	lookup := func(name string) (string, bool) { v, ok := globals[name]; return v, ok }
	var s Server
	var c Client
	if p := bind(&s, lookup, "ssl true"); p != nil {
		t.Fatal(p)
	}
	if p := bind(&c, lookup, "ssl true"); p != nil {
		t.Fatal(p)
	}
	state, err := meet(t, &s, &c, "localhost")
	if err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("%s, %v", tls.VersionName(state.Version), err)
	}
	var off Server
	if p := bind(&off, lookup); p != nil || off.SSL {
		t.Errorf("globals alone switch TLS on: %v", p)
	}
	if c, err := off.Config(); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
}

func TestMissingStores(t *testing.T) {
	s := Server{SSL: true, Keystore: "testdata/none.jks"}
	if _, err := s.Config(); err == nil || !strings.Contains(err.Error(), "reading the key store: open testdata/none.jks") {
		t.Errorf("%v", err)
	}
	c := Client{SSL: true, Truststore: "testdata/none.jks"}
	if _, err := c.Config("h"); err == nil || !strings.Contains(err.Error(), "reading the trust store: open testdata/none.jks") {
		t.Errorf("%v", err)
	}
	c = Client{SSL: true, Truststore: "testdata/trust.jks", TruststorePassword: "wrong"}
	if _, err := c.Config("h"); err == nil || !strings.Contains(err.Error(), "testdata/trust.jks: the password is wrong") || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("%v", err)
	}
}

func FuzzJKS(f *testing.F) {
	f.Add(load(f, "server.jks"))
	f.Add(load(f, "trust.jks"))
	f.Add(load(f, "other-key.jks"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		copy(data, []byte{0xfe, 0xed, 0xfe, 0xed})
		_, _ = ParseTruststore(data, "")
		_, _ = ParseKeystore(data, "", "otherkey")
	})
}
