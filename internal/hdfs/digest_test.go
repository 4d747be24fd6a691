package hdfs

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
)

// peer is the other end of what a digest agreed on.
func (d *digest) peer() *digest {
	return &digest{qop: d.qop, signOut: d.signIn, signIn: d.signOut}
}

func challenge(qop string) []byte {
	return []byte(`realm="0",nonce="OA6MG9tEQGm2hh",qop="` + qop + `",charset=utf-8,cipher="3des,rc4,des",algorithm=md5-sess`)
}

func TestDigestChoice(t *testing.T) {
	for _, test := range []struct {
		offered string
		wanted  []string
		qop     string
	}{
		{"auth,auth-int,auth-conf", nil, "auth-conf"},
		{"auth,auth-int,auth-conf", []string{"integrity", "authentication"}, "auth-int"},
		{"auth", []string{"authentication", "privacy"}, "auth"},
		{"auth", []string{"privacy"}, ""},
		{"", nil, ""},
	} {
		var d digest
		response, err := d.respond(challenge(test.offered), transferKey{name: "name", password: "password"}, test.wanted)
		if d.qop != test.qop || (err == nil) != (test.qop != "") || bytes.Contains(response, []byte("password")) {
			t.Errorf("of %q with %v: %q, %v", test.offered, test.wanted, d.qop, err)
		}
	}
	for _, bad := range []string{"x", `nonce="open`, "=,=,"} {
		if _, err := new(digest).respond([]byte(bad), transferKey{}, nil); err == nil {
			t.Errorf("the challenge %q is answered", bad)
		}
	}
}

func TestDigestConn(t *testing.T) {
	var d digest
	if _, err := d.respond(challenge("auth-int"), transferKey{name: "n", password: "p"}, nil); err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	out := &digestConn{Conn: a, d: &d}
	in := &digestConn{Conn: b, d: d.peer(), in: bufio.NewReader(b)}
	want := text(200_000)
	go func() {
		out.Write(want[:10])
		out.Write(want[10:])
		a.Close()
	}()
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// FuzzDigest has everything that a DataNode says before and around its bytes.
func FuzzDigest(f *testing.F) {
	f.Add(challenge("auth-conf"))
	f.Add([]byte(*new(message).num(1, 0).bytes(2, challenge("auth")).bytes(4, *new(message).num(1, suiteAES).bytes(2, make([]byte, 48)).bytes(3, make([]byte, 16)))))
	var d digest
	if _, err := d.respond(challenge("auth-int"), transferKey{}, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(d.peer().wrap([]byte{0, 0, 0, 21}, []byte("hello")))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeGreeting(b)
		if err == nil {
			d := digest{signIn: d.signIn}
			d.counters(nil, g)
		}
		new(digest).respond(b, transferKey{name: "n", password: "p"}, nil)
		c := digestConn{d: &digest{signIn: d.signIn}, in: bufio.NewReader(bytes.NewReader(b))}
		io.Copy(io.Discard, &c)
	})
}

func gssKey(t testing.TB) types.EncryptionKey {
	t.Helper()
	k := types.EncryptionKey{KeyType: 18, KeyValue: make([]byte, 32)}
	rand.Read(k.KeyValue)
	return k
}

// accepted makes a token as a server does.
func accepted(t testing.TB, key types.EncryptionKey, flags byte, payload string, rotate int) []byte {
	t.Helper()
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		t.Fatal(err)
	}
	header := []byte{5, 4, flags | gssFromAcceptor, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}
	var body []byte
	if flags&gssSealed != 0 {
		_, body, err = et.EncryptMessage(key.KeyValue, append([]byte(payload), header...), keyusage.GSSAPI_ACCEPTOR_SEAL)
	} else {
		body, err = et.GetChecksumHash(key.KeyValue, append([]byte(payload), header...), keyusage.GSSAPI_ACCEPTOR_SEAL)
		header[5] = byte(len(body))
		body = append([]byte(payload), body...)
	}
	if err != nil {
		t.Fatal(err)
	}
	rotate %= len(body)
	header[7] = byte(rotate)
	return append(header, append(bytes.Clone(body[len(body)-rotate:]), body[:len(body)-rotate]...)...)
}

func TestWrapTokens(t *testing.T) {
	key := gssKey(t)
	for _, flags := range []byte{0, gssSealed, gssAcceptorSubkey | gssSealed} {
		for _, rotate := range []int{0, 12, 28} {
			s := gssSealer{key: key, flags: flags}
			token := accepted(t, key, flags, "the payload", rotate)
			if b, err := s.Open(token); err != nil || string(b) != "the payload" {
				t.Errorf("flags %d, rotated by %d: %q, %v", flags, rotate, b, err)
			}
			for i := range token {
				token[i] ^= 0x40
				if b, err := s.Open(token); err == nil && i != 6 && i != 7 { // RRC itself is not signed
					t.Errorf("flags %d, byte %d changed: %q", flags, i, b)
				}
				token[i] ^= 0x40
			}
		}
	}
	sealed := gssSealer{key: key, flags: gssSealed}
	if _, err := sealed.Open(accepted(t, key, 0, "in the clear", 0)); err == nil || !strings.Contains(err.Error(), "in the clear") {
		t.Error(err)
	}
}

func FuzzWrapToken(f *testing.F) {
	key := types.EncryptionKey{KeyType: 18, KeyValue: bytes.Repeat([]byte{7}, 32)}
	for _, flags := range []byte{0, gssSealed} {
		f.Add(accepted(f, key, flags, "the payload", 28))
	}
	f.Fuzz(func(t *testing.T, token []byte) {
		s := gssSealer{key: key}
		if b, err := s.Open(token); err == nil && len(b) > len(token) {
			t.Error(fmt.Sprint(len(b), " bytes out of ", len(token)))
		}
		x := gssExchange{session: key}
		x.reply(token)
	})
}
