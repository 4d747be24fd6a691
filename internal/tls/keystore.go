package tls

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// LoadKeystore reads the private key of the file and its certificates. Where the store holds several keys the first
// is taken. An empty keyPassword means that of the store.
func LoadKeystore(path, password, keyPassword string) (tls.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the key store: %w", err)
	}
	c, err := ParseKeystore(data, password, keyPassword)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the key store %s: %w", path, err)
	}
	return c, nil
}

// ParseKeystore is LoadKeystore for a file's bytes.
func ParseKeystore(data []byte, password, keyPassword string) (tls.Certificate, error) {
	if keyPassword == "" {
		keyPassword = password
	}
	var key crypto.PrivateKey
	var certs []*x509.Certificate
	var err error
	switch format := sniff(data); format {
	case formatJKS, formatJCEKS:
		key, certs, err = jksKey(data, password, keyPassword)
	case formatPKCS12:
		key, certs, err = pkcs12Key(data, password)
	case formatPEM:
		key, certs, err = pemKey(data)
	default:
		err = errFormat
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	return chain(key, certs)
}

// LoadTruststore reads the certificates that the file says are to be trusted.
func LoadTruststore(path, password string) (Trust, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trust store: %w", err)
	}
	t, err := ParseTruststore(data, password)
	if err != nil {
		return nil, fmt.Errorf("reading the trust store %s: %w", path, err)
	}
	return t, nil
}

// ParseTruststore is LoadTruststore for a file's bytes.
func ParseTruststore(data []byte, password string) (Trust, error) {
	var t Trust
	var err error
	switch format := sniff(data); format {
	case formatJKS, formatJCEKS:
		t, err = jksTrust(data, password)
	case formatPKCS12:
		t, err = pkcs12Trust(data, password)
	case formatPEM:
		t, err = pemCerts(data)
	default:
		err = errFormat
	}
	if err == nil && len(t) == 0 {
		err = errors.New("there is no certificate in it")
	}
	return t, err
}

var errFormat = errors.New("it is neither JKS nor PKCS12 nor PEM")

type format int

const (
	formatUnknown format = iota
	formatJKS
	formatJCEKS
	formatPKCS12
	formatPEM
)

func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return formatJKS
	case bytes.HasPrefix(data, []byte{0xce, 0xce, 0xce, 0xce}):
		return formatJCEKS
	case bytes.HasPrefix(data, []byte{0x30}):
		return formatPKCS12
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return formatPEM
	}
	return formatUnknown
}

// publicKey is what every private key of the standard library has.
type publicKey interface {
	Public() crypto.PublicKey
}

// chain picks the certificate of key out of certs and puts those that signed it after it, one by one.
func chain(key crypto.PrivateKey, certs []*x509.Certificate) (tls.Certificate, error) {
	private, ok := key.(publicKey)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("a private key of type %T cannot be used", key)
	}
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return tls.Certificate{}, fmt.Errorf("a private key of type %T cannot be used", key)
	}
	for _, c := range certs {
		if !public.Equal(c.PublicKey) {
			continue
		}
		out := tls.Certificate{PrivateKey: key, Leaf: c}
		for _, link := range issuers(c, certs) {
			out.Certificate = append(out.Certificate, link.Raw)
		}
		return out, nil
	}
	return tls.Certificate{}, errors.New("none of its certificates belongs to its private key")
}

// issuers returns leaf and, in order, the certificates among certs that signed it.
func issuers(leaf *x509.Certificate, certs []*x509.Certificate) []*x509.Certificate {
	out := []*x509.Certificate{leaf}
	for len(out) <= len(certs) {
		last := out[len(out)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			break
		}
		before := len(out)
		for _, c := range certs {
			if bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil {
				out = append(out, c)
				break
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

func pkcs12Key(data []byte, password string) (crypto.PrivateKey, []*x509.Certificate, error) {
	key, first, rest, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return nil, nil, wrongPassword(err)
	}
	return key, append([]*x509.Certificate{first}, rest...), nil
}

// pkcs12Trust trusts what keytool has marked as trusted. In a store with a private key that is all that does not
// belong to the key's chain, and the key's own certificate, as in Java.
func pkcs12Trust(data []byte, password string) (Trust, error) {
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err == nil {
		return certs, nil
	}
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, wrongPassword(err)
	}
	key, certs, keyErr := pkcs12Key(data, password)
	if keyErr != nil {
		return nil, wrongPassword(err) // it is no key store either
	}
	own, keyErr := chain(key, certs)
	if keyErr != nil {
		return certs, nil
	}
	t := Trust{own.Leaf}
	for _, c := range certs {
		inChain := false
		for _, raw := range own.Certificate {
			inChain = inChain || bytes.Equal(raw, c.Raw)
		}
		if !inChain {
			t = append(t, c)
		}
	}
	return t, nil
}

func wrongPassword(err error) error {
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return errors.New("the password is wrong, or not set")
	}
	return fmt.Errorf("taking it for PKCS12: %w", err)
}

func pemKey(data []byte) (crypto.PrivateKey, []*x509.Certificate, error) {
	certs, err := pemCerts(data)
	if err != nil {
		return nil, nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			return key, certs, err
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, nil, errEncryptedPEM
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			return key, certs, err
		case "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, nil, errEncryptedPEM
			}
			key, err := x509.ParseECPrivateKey(block.Bytes)
			return key, certs, err
		case "ENCRYPTED PRIVATE KEY":
			return nil, nil, errEncryptedPEM
		}
	}
	return nil, nil, errors.New("there is no private key in it; a PEM key store holds the key and the certificates, one after the other")
}

var errEncryptedPEM = errors.New("an encrypted key in PEM cannot be read; make it PKCS12 (openssl pkcs12 -export)")

func pemCerts(data []byte) (Trust, error) {
	var t Trust
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		t = append(t, c)
	}
	return t, nil
}
