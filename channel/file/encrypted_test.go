package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

// The cases of Flume's TestFileChannelEncryption. docs/reference/flume-file-channel-tests.md says which case is which.

// encrypted are the settings of encryption. In the key store, which Java's keytool has made, key-1 has a password of its
// own; -J-Djdk.jceks.iterationCount=10000 makes its keys quick to open.
func encrypted(t *testing.T, active string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"store": "store-secret\n", "key-1": "key-1-secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := filepath.Abs("testdata/quick.jceks")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"encryption.activeKey = " + active, "encryption.cipherProvider = AESCTRNOPADDING", "encryption.keyProvider = JCEKSFILE",
		"encryption.keyProvider.keyStoreFile = " + store,
		"encryption.keyProvider.keyStorePasswordFile = " + filepath.Join(dir, "store"),
		"encryption.keyProvider.keys = key-0 key-1",
		"encryption.keyProvider.keys.key-1.passwordFile = " + filepath.Join(dir, "key-1"),
	}
}

// holds tells whether a data file has these bytes.
func (p *place) holds(t *testing.T, text string) bool {
	t.Helper()
	for _, name := range p.files(t, "/d1") {
		if bytes.Contains(p.read(t, name), []byte(text)) {
			return true
		}
	}
	return false
}

// What is put with a key can be read with it after a restart, from the checkpoint and from the log, and not on the disk.
func TestEncrypted(t *testing.T) {
	for _, key := range []string{"key-0", "key-1"} {
		for _, end := range []string{"closed", "killed", "killed, and the checkpoint lost"} {
			p := newPlace(append(encrypted(t, key), "cacheBytes = 0")...)
			c, _ := p.open(t)
			in := fill(t, c, "restart", 1, 20)
			in = append(in, fill(t, c, "large", 100, 200)...)
			if end == "closed" {
				closing(t, c)
			} else {
				p = p.kill()
			}
			if strings.HasSuffix(end, "lost") {
				p.remove(t, p.files(t, "/c")...)
			}
			if p.holds(t, "restart-") || p.holds(t, "large-") {
				t.Errorf("%s, %s: the events can be read on the disk", key, end)
			}
			c, env := p.open(t)
			healthy(t, env)
			same(t, in, drain(t, c))
		}
	}
}

// Data files with and without encryption, and of two keys, are one log.
func TestEncryptedAndNot(t *testing.T) {
	p := newPlace("cacheBytes = 0")
	c, _ := p.open(t)
	in := fill(t, c, "plain", 10, 200)
	same(t, in[:100], takeAll(t, c, 10, 100))
	in = in[100:]
	for _, key := range []string{"key-0", "key-1"} {
		closing(t, c)
		c, _ = p.open(t, encrypted(t, key)...)
		in = append(in, fill(t, c, key, 10, 50)...)
	}
	k := p.kill()
	k.remove(t, k.files(t, "/c")...)
	for _, p := range []*place{p.kill(), k} {
		c, env := p.open(t, encrypted(t, "key-0")...)
		healthy(t, env)
		same(t, in, drain(t, c))
	}
}

// Without the settings of encryption, or with a key that there is not, an encrypted channel does not open, and nothing of
// it is lost.
func TestEncryptedWithoutTheKey(t *testing.T) {
	p := newPlace()
	c, _ := p.open(t, encrypted(t, "key-0")...)
	in := fill(t, c, "e", 10, 100)
	closing(t, c)
	if got := flumetest.Problems(t, kindOn(p.Memory), nil, p.settings(encrypted(t, "invalid"))...).String(); !strings.Contains(got,
		"encryption.activeKey: invalid is none of encryption.keyProvider.keys, which are key-0, key-1") {
		t.Error(got)
	}
	none := flumetest.NewEnv()
	_, err := flumetest.TryOpen(t, none, kindOn(p.Memory), p.settings(nil)...)
	if err == nil || !strings.Contains(err.Error(), `it is encrypted with the key "key-0" and no key store is configured`) {
		t.Errorf("opening returned %v", err)
	}
	if none.Count("Unhealthy") != 1 || none.Count("Open") != 0 {
		t.Errorf("Unhealthy %d, Open %d", none.Count("Unhealthy"), none.Count("Open"))
	}
	c, env := p.open(t, encrypted(t, "key-0")...)
	healthy(t, env)
	same(t, in, drain(t, c))
}

// Another provider of keys or of ciphers is a class that is not here: the configuration is refused at its line.
func TestEncryptionOfOthers(t *testing.T) {
	for _, x := range []struct{ key, value string }{
		{"encryption.keyProvider", "invalid"}, {"encryption.keyProvider", "java.lang.String"},
		{"encryption.cipherProvider", "invalid"}, {"encryption.cipherProvider", "java.lang.String"},
	} {
		all := newPlace(encrypted(t, "key-0")...).settings([]string{x.key + " = " + x.value})
		got := flumetest.Problems(t, Kind, nil, all...).String()
		want := fmt.Sprintf("flume.conf:%d: a1.components.x1.%s: %s is a class of its own", len(all), x.key, x.value)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s = %s: %s, want %s", x.key, x.value, got, want)
		}
	}
}

// Twenty at once put into an encrypted channel, and twenty take.
func TestEncryptedByMany(t *testing.T) {
	const many, each = 20, 100
	p := newPlace(append(encrypted(t, "key-1"), "capacity = 10000", "cacheBytes = 0", "maxFileSize = 20000")...)
	c, _ := p.open(t)
	var putters, takers sync.WaitGroup
	for n := range many {
		putters.Go(func() {
			for i := 0; i < each; i += 10 {
				tx, err := c.Put(t.Context(), flumetest.Events(n*each+i, 10))
				if err == nil {
					err = tx.Commit(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	putters.Wait()
	var mu sync.Mutex
	var out []string
	over, end := context.WithCancel(t.Context())
	end()
	for range many {
		takers.Go(func() {
			for {
				tx, err := c.Take(over, flume.Limits{Events: 10})
				if errors.Is(err, flume.ErrEmpty) {
					return
				}
				if err == nil {
					mu.Lock()
					out = append(out, flumetest.Bodies(tx.Batch())...)
					mu.Unlock()
					err = tx.Commit(t.Context())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	takers.Wait()
	in := flumetest.Bodies(flumetest.Events(0, many*each))
	slices.Sort(in)
	slices.Sort(out)
	same(t, in, out)
}
