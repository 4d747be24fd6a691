package wal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"sync"
)

// Keys are the keys of encrypted data files, by alias.
type Keys interface {
	Key(alias string) ([]byte, error)
}

// cipherName is the only provider that Flume has; in its configuration any case is allowed.
const cipherName = "AESCTRNOPADDING"

const ivSize = 16

// A fileCipher encrypts and decrypts the payloads of one data file. Flume restarts the cipher at every record, so
// that all records of a file are covered by the same key stream: that is weak, but it is the format. It is fast,
// too: the stream is made once.
type fileCipher struct {
	block  cipher.Block
	iv     []byte
	mu     sync.Mutex
	stream []byte // the first bytes of the key stream
}

const longestStream = 1 << 16 // beyond that it is made anew for each record

func newFileCipher(key, iv []byte) (*fileCipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(iv) != ivSize {
		return nil, fmt.Errorf("the initial vector has %d bytes, it should have %d", len(iv), ivSize)
	}
	return &fileCipher{block: block, iv: iv}, nil
}

// newIV is random but for its last four bytes, which count blocks from 1.
func newIV() []byte {
	iv := make([]byte, ivSize)
	rand.Read(iv[:12])
	iv[15] = 1
	return iv
}

// apply encrypts or decrypts a payload, which is the same; dst and src are one or do not overlap.
func (c *fileCipher) apply(dst, src []byte) {
	if len(src) > longestStream {
		cipher.NewCTR(c.block, c.iv).XORKeyStream(dst, src)
		return
	}
	c.mu.Lock()
	stream := c.stream
	if len(stream) < len(src) {
		stream = make([]byte, min(longestStream, max(1024, 2*len(src))))
		cipher.NewCTR(c.block, c.iv).XORKeyStream(stream, stream)
		c.stream = stream
	}
	c.mu.Unlock()
	subtle.XORBytes(dst, src, stream)
}
