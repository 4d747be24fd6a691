package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	sluicetls "github.com/sluice-io/sluice/internal/tls"
)

// stores are the settings that agent-wide ones fill in.
type stores struct {
	keystore, keystorePassword, keystoreType       string
	truststore, truststorePassword, truststoreType string
}

// security is how to speak with brokers.
type security struct {
	protocol            string
	keyPassword         string
	key, chain, trusted string // PEM
	highest             uint16
	versions            []uint16 // nil: 1.2 and 1.3
	suites              []uint16 // nil: Go's choice
	anyHost             bool     // the name in the certificate does not matter
}

func (s *security) tls() bool  { return strings.HasSuffix(s.protocol, "SSL") }
func (s *security) sasl() bool { return strings.HasPrefix(s.protocol, "SASL_") }

func (s *security) conflicts() []conflict {
	lowest, highest := s.rangeOf()
	if lowest > highest {
		return []conflict{{"ssl.enabled.protocols", errors.New("leaves no protocol below ssl.protocol")}}
	}
	return nil
}

func (s *security) rangeOf() (lowest, highest uint16) {
	lowest, highest = tls.VersionTLS12, tls.VersionTLS13
	for i, v := range s.versions {
		if i == 0 {
			lowest, highest = v, v
		}
		lowest, highest = min(lowest, v), max(highest, v)
	}
	if s.highest != 0 {
		highest = min(highest, s.highest)
	}
	return lowest, highest
}

// channel is how to open TLS with a broker.
type channel struct {
	config  *tls.Config
	trust   sluicetls.Trust
	anyHost bool
}

// open shakes hands. The server's certificates are judged by Java's rules; Go's own would not take a certificate that
// is itself in the trust store.
func (t *channel) open(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	c := t.config.Clone()
	v := sluicetls.Verifier{Trust: t.trust, Host: host}
	if t.anyHost {
		v.Host = ""
	}
	c.ServerName, c.InsecureSkipVerify, c.VerifyConnection = host, true, v.Verify
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("opening TLS with %s: %w", conn.RemoteAddr(), err)
	}
	return secure, nil
}

// channel opens the stores; nil where TLS is not spoken.
func (s *security) channel(files *stores) (*channel, error) {
	if !s.tls() {
		return nil, nil
	}
	lowest, highest := s.rangeOf()
	t := &channel{config: &tls.Config{MinVersion: lowest, MaxVersion: highest, CipherSuites: s.suites}, anyHost: s.anyHost}
	cert, err := s.certificate(files)
	if err != nil {
		return nil, err
	}
	if cert != nil {
		t.config.Certificates = []tls.Certificate{*cert}
	}
	t.trust, err = s.trust(files)
	return t, err
}

func (s *security) certificate(files *stores) (*tls.Certificate, error) {
	var cert tls.Certificate
	var err error
	switch {
	case s.key != "":
		cert, err = sluicetls.ParseKeystore([]byte(s.chain+"\n"+s.key), "", s.keyPassword)
		if err != nil {
			err = fmt.Errorf("reading ssl.keystore.key and ssl.keystore.certificate.chain: %w", err)
		}
	case files.keystore != "":
		cert, err = sluicetls.LoadKeystore(files.keystore, files.keystorePassword, s.keyPassword)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

func (s *security) trust(files *stores) (sluicetls.Trust, error) {
	switch {
	case s.trusted != "":
		trust, err := sluicetls.ParseTruststore([]byte(s.trusted), "")
		if err != nil {
			return nil, fmt.Errorf("reading ssl.truststore.certificates: %w", err)
		}
		return trust, nil
	case files.truststore != "":
		return sluicetls.LoadTruststore(files.truststore, files.truststorePassword)
	}
	return nil, nil
}

// dialer opens connections.
type dialer struct {
	timeout       time.Duration
	send, receive int
	tls           *channel // nil: plain
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = buffers(tcp, d.send, d.receive)
	}
	if err == nil && d.tls != nil {
		var secure net.Conn
		if secure, err = d.tls.open(ctx, conn, host); err == nil {
			return secure, nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func buffers(conn *net.TCPConn, send, receive int) error {
	if send > 0 {
		if err := conn.SetWriteBuffer(send); err != nil {
			return err
		}
	}
	if receive > 0 {
		return conn.SetReadBuffer(receive)
	}
	return nil
}

// versionOf is the version that Java gives a name.
func versionOf(name string) (uint16, bool) {
	switch strings.ToUpper(name) {
	case "TLS", "TLSV1.3":
		return tls.VersionTLS13, true
	case "TLSV1.2":
		return tls.VersionTLS12, true
	case "TLSV1.1":
		return tls.VersionTLS11, true
	case "TLSV1":
		return tls.VersionTLS10, true
	}
	return 0, false
}
