package harness

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// KeyStores are one server certificate for localhost and 127.0.0.1, and the CA that signed it, in the formats of the
// Java world. keytool made the JKS and PKCS12 files that an agent reads, so they are what users have.
type KeyStores struct {
	Password string

	KeyJKS, KeyPKCS12, KeyPEM       string // key and chain; KeyPEM has both in one file
	TrustJKS, TrustPKCS12, TrustPEM string // the CA

	pool *x509.CertPool
}

// Client is a TLS configuration that trusts the CA.
func (k KeyStores) Client() *tls.Config { return &tls.Config{RootCAs: k.pool, ServerName: "localhost"} }

func makeKeyStores(ctx context.Context, dir string) (KeyStores, error) {
	k := KeyStores{
		Password: "changeit", pool: x509.NewCertPool(),
		KeyJKS: filepath.Join(dir, "key.jks"), KeyPKCS12: filepath.Join(dir, "key.p12"), KeyPEM: filepath.Join(dir, "key.pem"),
		TrustJKS: filepath.Join(dir, "trust.jks"), TrustPKCS12: filepath.Join(dir, "trust.p12"), TrustPEM: filepath.Join(dir, "trust.pem"),
	}
	if err := os.RemoveAll(dir); err != nil {
		return k, fmt.Errorf("clearing the key stores: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, fmt.Errorf("making key stores: %w", err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(72 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, caCert, err := sign(ca, nil, nil)
	if err != nil {
		return k, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafKey, leafCert, err := sign(leaf, caCert, caKey)
	if err != nil {
		return k, err
	}
	k.pool.AddCert(caCert)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return k, fmt.Errorf("encoding the server's key: %w", err)
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caCert.Raw})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	keyPEM = append(keyPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafCert.Raw})...)
	keyPEM = append(keyPEM, caPEM...)
	raw, err := pkcs12.Modern.Encode(leafKey, leafCert, []*x509.Certificate{caCert}, k.Password)
	if err != nil {
		return k, fmt.Errorf("encoding the server's key: %w", err)
	}
	rawFile := filepath.Join(dir, "raw.p12")
	for path, data := range map[string][]byte{k.TrustPEM: caPEM, k.KeyPEM: keyPEM, rawFile: raw} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return k, fmt.Errorf("writing key stores: %w", err)
		}
	}
	for typ, path := range map[string]string{"JKS": k.KeyJKS, "PKCS12": k.KeyPKCS12} {
		if err := keytool(ctx, "-importkeystore", "-srckeystore", rawFile, "-srcstoretype", "PKCS12", "-srcstorepass", k.Password,
			"-destkeystore", path, "-deststoretype", typ, "-deststorepass", k.Password); err != nil {
			return k, err
		}
	}
	for typ, path := range map[string]string{"JKS": k.TrustJKS, "PKCS12": k.TrustPKCS12} {
		if err := keytool(ctx, "-importcert", "-noprompt", "-alias", "ca", "-file", k.TrustPEM,
			"-keystore", path, "-storetype", typ, "-storepass", k.Password); err != nil {
			return k, err
		}
	}
	return k, nil
}

// sign makes a key and its certificate; without an issuer it signs itself.
func sign(template, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, nil, fmt.Errorf("signing a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("reading back a certificate: %w", err)
	}
	return key, cert, nil
}

func keytool(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "keytool", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("running keytool %s: %w\n%s", args[0], err, out)
	}
	return nil
}
