package jceks

import (
	"crypto/sha1"
	"errors"
	"os"
	"testing"
)

func store(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/flume.jceks")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeys(t *testing.T) {
	s, err := Open(store(t), "store-secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		alias, password string
		size            int
	}{
		{"key-0", "store-secret", 16},
		{"KEY-0", "store-secret", 16},
		{"key-1", "key-1-secret", 32},
	} {
		key, err := s.Key(c.alias, c.password)
		if err != nil || len(key) != c.size {
			t.Errorf("%s: %d bytes, %v", c.alias, len(key), err)
		}
	}
	if _, err := s.Key("key-1", "store-secret"); !errors.Is(err, ErrPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := s.Key("key-2", "store-secret"); err == nil {
		t.Error("a missing key is found")
	}
}

func TestWrongStores(t *testing.T) {
	b := store(t)
	if _, err := Open(b, "wrong"); !errors.Is(err, ErrPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	for _, n := range []int{0, 11, 40, len(b) / 2, len(b) - 1} {
		if _, err := Open(b[:n], "store-secret"); err == nil {
			t.Errorf("a store of %d bytes opens", n)
		}
	}
	if _, err := Open(append([]byte{0xFE, 0xED, 0xFE, 0xED}, b[4:]...), "store-secret"); err == nil {
		t.Error("a store of another type opens")
	}
}

func FuzzParse(f *testing.F) {
	b := store(f)
	f.Add(b[:len(b)-sha1.Size])
	f.Add(b[:100])
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		s, err := parse(b)
		if err == nil && s == nil {
			panic("no store and no error")
		}
	})
}

func FuzzObject(f *testing.F) {
	f.Add([]byte("\xac\xed\x00\x05sr\x00\x1ejavax.crypto.spec.SecretKeySpec[G\x0bf\xe20aM\x02\x00\x02L\x00\talgorithmt\x00\x12Ljava/lang/String;[\x00\x03keyt\x00\x02[Bxpt\x00\x03AESur\x00\x02[B\xac\xf3\x17\xf8\x06\x08T\xe0\x02\x00\x00xp\x00\x00\x00\x041234"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		r := &reader{b: b}
		r.object()
	})
}
