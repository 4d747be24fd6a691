// Package tls is the TLS that Flume's components share: their settings, Java's key stores and Java's names.
//
// A source takes [Server] into its settings, a sink or client takes [Client]; both read Flume's keys, then the system
// properties and environment variables that hold for a whole agent. Config turns them into Go's configuration.
//
// Stores are opened by what is in them, whatever the declared type: JKS (and certificates in JCEKS), PKCS12, and PEM,
// which Flume does not have. Whom a client trusts is Java's rule: the trusted certificates of its store and the first
// certificate of each key in it; a server that shows one of them is taken as it is. The name in the certificate is
// compared with the host only where verify-hostname asks for it, because no Flume client does.
//
// SSLv3 is never spoken. TLSv1 and TLSv1.1 only where include-protocols names them.
package tls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// Server are the settings of a component that accepts TLS connections.
type Server struct {
	SSL              bool
	Keystore         string
	KeystorePassword string
	KeystoreType     string
	Olds             map[string][]string // old names that a component has for some of the keys; set before Declare
	lists            lists
}

// Declare declares ssl, keystore, keystore-password, keystore-type and the four lists.
func (s *Server) Declare(d *conf.Decl) {
	d.Bool(&s.SSL, "ssl", false, "Accept TLS connections only.").Old(s.Olds["ssl"]...)
	d.String(&s.Keystore, "keystore", "", "The file with the server's private key and certificates: JKS, PKCS12 or PEM. Required with ssl.").
		From("javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH")
	d.String(&s.KeystorePassword, "keystore-password", "", "The password of the key store, and of the key in it. Required with ssl, but for a PEM file.").Secret().Old(s.Olds["keystore-password"]...).
		From("javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD")
	d.String(&s.KeystoreType, "keystore-type", "JKS", "The format of the key store; it is read whatever it is, so this only documents it.").
		From("javax.net.ssl.keyStoreType", "FLUME_SSL_KEYSTORE_TYPE")
	s.lists.declare(d, s.Olds)
	d.Check(func() error {
		switch {
		case !s.SSL:
			return nil
		case s.Keystore == "":
			return conf.At("keystore", errors.New("is required with ssl = true"))
		case s.KeystorePassword == "" && !isPEMName(s.Keystore):
			return conf.At("keystore-password", errors.New("is required with ssl = true (only a key store whose name ends with .pem or .crt goes without)"))
		}
		return s.lists.check()
	})
}

// SetList puts words in the place of one of the four lists: include-protocols, exclude-protocols, include-cipher-suites or
// exclude-cipher-suites.
func (s *Server) SetList(key string, words []string) { *s.lists.named(key) = strings.Join(words, " ") }

// Config returns the configuration of a listener; nil where ssl is off.
func (s *Server) Config() (*tls.Config, error) {
	if !s.SSL {
		return nil, nil
	}
	cert, err := LoadKeystore(s.Keystore, s.KeystorePassword, s.KeystorePassword)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}}
	if err := s.lists.apply(c); err != nil {
		return nil, err
	}
	return c, nil
}

// Client are the settings of a component that opens TLS connections.
type Client struct {
	SSL                bool
	TrustAll           bool
	Truststore         string
	TruststorePassword string
	TruststoreType     string
	VerifyHostname     bool
	lists              lists
}

// Declare declares ssl, trust-all-certs, truststore, truststore-password, truststore-type, verify-hostname and the
// four lists.
func (s *Client) Declare(d *conf.Decl) {
	d.Bool(&s.SSL, "ssl", false, "Speak TLS.")
	d.Bool(&s.TrustAll, "trust-all-certs", false, "Trust every server, whatever its certificate; for tests only.")
	d.String(&s.Truststore, "truststore", "", "The file with the certificates to trust: JKS, PKCS12 or PEM. Without one the system's authorities are trusted.").
		From("javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH")
	d.String(&s.TruststorePassword, "truststore-password", "", "The password of the trust store; a JKS file is also read without.").Secret().
		From("javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD")
	d.String(&s.TruststoreType, "truststore-type", "JKS", "The format of the trust store; it is read whatever it is, so this only documents it.").
		From("javax.net.ssl.trustStoreType", "FLUME_SSL_TRUSTSTORE_TYPE")
	d.Bool(&s.VerifyHostname, "verify-hostname", false, "Refuse a server whose certificate does not name the host that was dialled. Flume never checks that.")
	s.lists.declare(d, nil)
	d.Check(func() error {
		if !s.SSL {
			return nil
		}
		return s.lists.check()
	})
}

// Config returns the configuration of a connection to host; nil where ssl is off.
func (s *Client) Config(host string) (*tls.Config, error) {
	if !s.SSL {
		return nil, nil
	}
	// Go's own verification always compares names, so it is done in VerifyConnection instead.
	c := &tls.Config{ServerName: host, InsecureSkipVerify: true}
	if err := s.lists.apply(c); err != nil {
		return nil, err
	}
	if s.TrustAll {
		return c, nil
	}
	v := Verifier{}
	if s.Truststore != "" {
		trust, err := LoadTruststore(s.Truststore, s.TruststorePassword)
		if err != nil {
			return nil, err
		}
		v.Trust = trust
	}
	if s.VerifyHostname {
		v.Host = host
	}
	c.VerifyConnection = v.Verify
	return c, nil
}

// A Verifier judges a server's certificates as Java does. Verify is a tls.Config's VerifyConnection, beside
// InsecureSkipVerify, which it stands in for.
type Verifier struct {
	Trust Trust  // nil: the system's authorities
	Host  string // not empty: the certificate must name it
}

// Verify refuses a connection to a server that is not trusted.
func (v Verifier) Verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0]
	if v.Host != "" {
		if err := leaf.VerifyHostname(v.Host); err != nil {
			return fmt.Errorf("verifying the server's certificate: %w", err)
		}
	}
	for _, c := range v.Trust {
		if c.Equal(leaf) {
			return nil
		}
	}
	opts := x509.VerifyOptions{Intermediates: x509.NewCertPool()}
	if v.Trust != nil {
		opts.Roots = v.Trust.Pool()
	}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(opts)
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fmt.Errorf("verifying the server's certificate (%s): %w; the truststore must have it, or the authority that signed it", leaf.Subject, err)
	}
	return fmt.Errorf("verifying the server's certificate (%s): %w", leaf.Subject, err)
}

// Trust are the certificates of a trust store.
type Trust []*x509.Certificate

// Pool returns them as Go's set of authorities.
func (t Trust) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range t {
		p.AddCert(c)
	}
	return p
}

func isPEMName(path string) bool {
	path = strings.ToLower(path)
	return strings.HasSuffix(path, ".pem") || strings.HasSuffix(path, ".crt")
}
