package tls

import (
	"bytes"
	"crypto"
	"crypto/sha1" // the format's own digest
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// A JKS file, all numbers big-endian:
//
//	fe ed fe ed | version int32 (1, 2) | entries int32 | entry… | SHA-1 of (password | "Mighty Aphrodite" | all before)
//	entry 1, key          alias | int64 time | int32 length, protected key | int32 certificates | certificate…
//	entry 2, certificate  alias | int64 time | certificate
//	alias                 uint16 length, modified UTF-8
//	certificate           type as an alias ("X.509"), not in version 1 | int32 length, DER
//	protected key         PKCS #8 EncryptedPrivateKeyInfo with Sun's algorithm 1.3.6.1.4.1.42.2.17.1.1:
//	                      20 bytes salt | key XOR stream | SHA-1 of (password | key)
//	                      stream = SHA-1(password | salt), SHA-1(password | the 20 bytes before), …
//	password              UTF-16BE
//
// JCEKS has the magic ce ce ce ce and protects keys in another way.
const (
	jksKeyEntry  = 1
	jksCertEntry = 2
)

type jksEntry struct {
	alias string
	key   []byte // protected; nil for a certificate
	certs []*x509.Certificate
}

// readJKS reads all entries. The digest is checked where there is a password: Java reads certificates without one.
func readJKS(data []byte, password string) ([]jksEntry, error) {
	if len(data) < 12+sha1.Size {
		return nil, errJKSEnd
	}
	body := data[:len(data)-sha1.Size]
	if password != "" {
		h := sha1.New()
		h.Write(utf16be(password))
		h.Write([]byte("Mighty Aphrodite"))
		h.Write(body)
		if !bytes.Equal(h.Sum(nil), data[len(body):]) {
			return nil, errors.New("the password is wrong, or the file was changed")
		}
	}
	r := jksReader{rest: body[4:]}
	version := r.uint32()
	n := r.uint32()
	var entries []jksEntry
	for range n {
		var e jksEntry
		tag := r.uint32()
		e.alias = string(r.take(uint32(r.uint16())))
		r.take(8)
		switch tag {
		case jksKeyEntry:
			e.key = r.take(r.uint32())
			for links := r.uint32(); links > 0 && r.err == nil; links-- {
				e.certs = append(e.certs, r.certificate(version))
			}
		case jksCertEntry:
			e.certs = append(e.certs, r.certificate(version))
		default:
			if r.err == nil {
				r.err = fmt.Errorf("entry %q is of kind %d, which is neither a key nor a certificate", e.alias, tag)
			}
		}
		if r.err != nil {
			return nil, r.err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

var errJKSEnd = errors.New("the file is cut short")

type jksReader struct {
	rest []byte
	err  error
}

func (r *jksReader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.rest)) {
		if r.err == nil {
			r.err = errJKSEnd
		}
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *jksReader) uint32() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (r *jksReader) uint16() uint16 {
	b := r.take(2)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func (r *jksReader) certificate(version uint32) *x509.Certificate {
	if version != 1 {
		r.take(uint32(r.uint16()))
	}
	der := r.take(r.uint32())
	if r.err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		r.err = err
	}
	return c
}

func jksKey(data []byte, password, keyPassword string) (crypto.PrivateKey, []*x509.Certificate, error) {
	if sniff(data) == formatJCEKS {
		return nil, nil, errors.New("a key in a JCEKS store cannot be read; make it PKCS12 (keytool -importkeystore -deststoretype PKCS12)")
	}
	entries, err := readJKS(data, password)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if e.key == nil {
			continue
		}
		key, err := unprotect(e.key, keyPassword)
		if err != nil {
			return nil, nil, fmt.Errorf("key %q: %w", e.alias, err)
		}
		return key, e.certs, nil
	}
	return nil, nil, errors.New("there is no private key in it")
}

func jksTrust(data []byte, password string) (Trust, error) {
	entries, err := readJKS(data, password)
	if err != nil {
		return nil, err
	}
	var t Trust
	for _, e := range entries {
		if len(e.certs) > 0 {
			t = append(t, e.certs[0])
		}
	}
	return t, nil
}

// unprotect decrypts a key.
func unprotect(protected []byte, password string) (crypto.PrivateKey, error) {
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(protected, &info); err != nil {
		return nil, err
	}
	if !info.Algorithm.ID.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}) {
		return nil, fmt.Errorf("it is protected with the algorithm %s, which Sluice does not have", info.Algorithm.ID)
	}
	if len(info.Data) < 2*sha1.Size {
		return nil, errJKSEnd
	}
	pass := utf16be(password)
	stream := info.Data[:sha1.Size]
	secret := info.Data[sha1.Size : len(info.Data)-sha1.Size]
	key := make([]byte, 0, len(secret))
	for len(key) < len(secret) {
		next := sha1.Sum(append(pass[:len(pass):len(pass)], stream...))
		stream = next[:]
		for i := 0; i < len(stream) && len(key) < len(secret); i++ {
			key = append(key, secret[len(key)]^stream[i])
		}
	}
	sum := sha1.Sum(append(pass[:len(pass):len(pass)], key...))
	if !bytes.Equal(sum[:], info.Data[len(info.Data)-sha1.Size:]) {
		return nil, errors.New("the password of the key is wrong")
	}
	return x509.ParsePKCS8PrivateKey(key)
}

func utf16be(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u>>8), byte(u))
	}
	return out
}
