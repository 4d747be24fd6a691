// Package jceks reads secret keys from Java key stores of the type JCEKS, in which Flume keeps the keys of encrypted
// file channels.
//
// The file, numbers big-endian:
//
//	uint32 CECECECE, int32 version 2, int32 number of entries
//	an entry: int32 tag; alias (2-byte length, UTF-8); int64 date; then by tag
//	    1 private key: uint32 length and bytes, int32 number of certificates, certificates as below
//	    2 certificate: type (2-byte length), uint32 length and bytes
//	    3 secret key: a Java serialization stream of a sealed object
//	20 bytes SHA-1 over the password, two bytes a character, "Mighty Aphrodite", and everything before
//
// A sealed object has the fields encodedParams (DER: salt and iterations), encryptedContent, paramsAlg and sealAlg; the
// algorithm is PBEWithMD5AndTripleDES, with a key derivation of Java's own: see unseal. What is sealed is again a
// serialization stream, of a SecretKeySpec with the fields algorithm and key.
package jceks

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

const (
	magic      = 0xCECECECE
	tagPrivate = 1
	tagTrusted = 2
	tagSecret  = 3
	algorithm  = "PBEWithMD5AndTripleDES"
	// mostIterations bounds the work that a file can ask for; Java allows as many.
	mostIterations = 5_000_000
)

// ErrPassword: the password is wrong, or the file has been changed.
var ErrPassword = errors.New("the password is wrong, or the file is damaged")

// A Store is a key store whose integrity has been checked.
type Store struct {
	sealed map[string]sealed // by alias in lower case, as Java has it
}

type sealed struct{ params, content []byte }

// Open reads a key store.
func Open(b []byte, password string) (*Store, error) {
	if len(b) < 12+sha1.Size {
		return nil, errors.New("the file is too short for a key store")
	}
	if binary.BigEndian.Uint32(b) != magic {
		if binary.BigEndian.Uint32(b) == 0xFEEDFEED {
			return nil, errors.New("the key store is of the type JKS, which holds no secret keys; it should be JCEKS")
		}
		return nil, errors.New("the file is no JCEKS key store")
	}
	body, sum := b[:len(b)-sha1.Size], b[len(b)-sha1.Size:]
	h := sha1.New()
	for _, c := range utf16.Encode([]rune(password)) {
		h.Write([]byte{byte(c >> 8), byte(c)})
	}
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(body)
	if subtle.ConstantTimeCompare(h.Sum(nil), sum) != 1 {
		return nil, ErrPassword
	}
	return parse(body)
}

func parse(b []byte) (*Store, error) {
	r := &reader{b: b[4:]}
	if v := r.uint32(); v != 2 && v != 1 {
		return nil, fmt.Errorf("the key store is of version %d", v)
	}
	s := &Store{sealed: map[string]sealed{}}
	n := r.uint32()
	for i := uint32(0); i < n && r.err == nil; i++ {
		tag := r.uint32()
		alias := r.utf()
		r.take(8)
		switch tag {
		case tagPrivate:
			r.take(int(r.uint32()))
			certificates := r.uint32()
			for j := uint32(0); j < certificates && r.err == nil; j++ {
				r.utf()
				r.take(int(r.uint32()))
			}
		case tagTrusted:
			r.utf()
			r.take(int(r.uint32()))
		case tagSecret:
			fields := r.object()
			if r.err == nil && fields.text("sealAlg") != algorithm {
				return nil, fmt.Errorf("the key %q is sealed with %q; only %s is known", alias, fields.text("sealAlg"), algorithm)
			}
			s.sealed[strings.ToLower(alias)] = sealed{fields.array("encodedParams"), fields.array("encryptedContent")}
		default:
			if r.err == nil {
				return nil, fmt.Errorf("the entry %q is of kind %d", alias, tag)
			}
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("reading the key store: %w", r.err)
	}
	return s, nil
}

// Key returns the secret key alias, which has a password of its own, often the store's.
func (s *Store) Key(alias, password string) ([]byte, error) {
	x, ok := s.sealed[strings.ToLower(alias)]
	if !ok {
		return nil, fmt.Errorf("the key store has no secret key %q", alias)
	}
	plain, err := unseal(x.params, x.content, password)
	if err != nil {
		return nil, fmt.Errorf("opening the key %q: %w", alias, err)
	}
	r := &reader{b: plain}
	fields := r.object()
	if r.err != nil {
		return nil, fmt.Errorf("opening the key %q: %w", alias, ErrPassword)
	}
	key := fields.array("key")
	if len(key) == 0 {
		return nil, fmt.Errorf("the entry %q holds no key", alias)
	}
	return key, nil
}

// unseal decrypts with PBEWithMD5AndTripleDES: the salt is cut in halves, each half is hashed with the password as
// often as the parameters say, and the two results are the key (24 bytes) and the initial vector (8).
func unseal(params, content []byte, password string) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if _, err := asn1.Unmarshal(params, &p); err != nil {
		return nil, fmt.Errorf("reading the parameters: %w", err)
	}
	if len(p.Salt) != 8 || p.Iterations < 1 || p.Iterations > mostIterations {
		return nil, fmt.Errorf("a salt of %d bytes and %d iterations", len(p.Salt), p.Iterations)
	}
	secret := make([]byte, 0, len(password))
	for _, c := range password {
		secret = append(secret, byte(c&0x7F))
	}
	halves := [2][]byte{bytes.Clone(p.Salt[:4]), bytes.Clone(p.Salt[4:])}
	if bytes.Equal(halves[0], halves[1]) { // Java turns the first half round, and gets its own loop wrong
		h := halves[0]
		for i := range 2 {
			t := h[i]
			h[i] = h[3-i]
			h[3-1] = t
		}
	}
	var out []byte
	for _, d := range halves {
		for range p.Iterations {
			sum := md5.Sum(append(bytes.Clone(d), secret...))
			d = sum[:]
		}
		out = append(out, d...)
	}
	block, err := des.NewTripleDESCipher(out[:24])
	if err != nil {
		return nil, err
	}
	if len(content) == 0 || len(content)%des.BlockSize != 0 {
		return nil, fmt.Errorf("%d encrypted bytes", len(content))
	}
	plain := make([]byte, len(content))
	cipher.NewCBCDecrypter(block, out[24:32]).CryptBlocks(plain, content)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > des.BlockSize || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, ErrPassword
	}
	return plain[:len(plain)-pad], nil
}
