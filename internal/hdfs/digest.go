package hdfs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// DataNodes of a secured cluster ask for SASL DIGEST-MD5 (RFC 2831) before an operation, with the block's token as name
// and password, or with a key of the NameNode's where dfs.encrypt.data.transfer is on:
//
//	DEADBEEF | delimited {1: 0}                          we begin
//	delimited {1: status, 2: challenge, 3: text}
//	delimited {1: 0, 2: response, 4: {1: 2}}             AES-CTR would do, if all is to be encrypted
//	delimited {1: status, 2: proof of the server, 4: {1: 2, 2: key and 3: iv of what we send, 4, 5: of what it sends}}
//
// and with integrity or privacy everything after that is int32 length and a wrapped piece,
//
//	integrity  piece | 10 bytes of HMAC-MD5(number, piece)                | 0001 | int32 number
//	privacy    the same two, encrypted with RC4                           | 0001 | int32 number
//
// or, where the server has chosen it, one stream of AES-CTR each way; its keys come wrapped.
const (
	deadBeef     = 0xdeadbeef
	digestURI    = "hdfs/0"
	suiteAES     = 2
	digestMAC    = 10
	digestTail   = digestMAC + 6
	digestPiece  = 60 << 10 // bytes in one wrapped piece; a receiver takes 64 KB
	digestLonger = 4 << 20  // of a piece that is read
)

// A transferKey is a name and a password for DataNodes, until it expires.
type transferKey struct {
	name, password string
	expires        time.Time
}

// transferKeys knows whether the cluster encrypts data, and holds the key for that.
type transferKeys struct {
	mu      sync.Mutex
	asked   bool
	encrypt bool
	key     transferKey
}

// secure logs in to a DataNode where the cluster wants that, and returns the connection to go on with.
func (c *client) secure(ctx context.Context, nc net.Conn, n *node, token []byte) (net.Conn, error) {
	key, err := c.encryptionKey(ctx)
	if err != nil {
		return nil, err
	}
	if key == nil {
		// Where a port below 1024 answers, only root can have opened it, and Hadoop leaves it at that.
		if c.o.Login == nil || n.data < 1024 || len(c.o.Conf.Strings("dfs.data.transfer.protection")) == 0 {
			return nc, nil
		}
		if key, err = tokenKey(token); err != nil {
			return nil, err
		}
	}
	if t, ok := ctx.Deadline(); ok {
		nc.SetDeadline(t)
	}
	secured, err := digestLogin(nc, *key, c.o.Conf.Strings("dfs.data.transfer.protection"))
	if errors.Is(err, errUnknownKey) {
		c.keys.mu.Lock()
		c.keys.key = transferKey{}
		c.keys.mu.Unlock()
	}
	nc.SetDeadline(time.Time{})
	return secured, err
}

func tokenKey(token []byte) (*transferKey, error) {
	var k transferKey
	s := scan{rest: token}
	for s.next() {
		switch s.no {
		case 1:
			k.name = base64.StdEncoding.EncodeToString(s.data)
		case 2:
			k.password = base64.StdEncoding.EncodeToString(s.data)
		}
	}
	return &k, s.err
}

// encryptionKey is the NameNode's where all data is encrypted; else nil. Two callers may ask for it at once.
func (c *client) encryptionKey(ctx context.Context) (*transferKey, error) {
	c.keys.mu.Lock()
	asked, encrypt, key := c.keys.asked, c.keys.encrypt, c.keys.key
	c.keys.mu.Unlock()
	if !asked {
		data, err := c.nn.call(ctx, "getServerDefaults", new(message))
		if err != nil {
			return nil, err
		}
		field, _, err := only(data, 1)
		if err != nil {
			return nil, err
		}
		_, num, err := only(field, 6)
		if err != nil {
			return nil, err
		}
		encrypt = num != 0
	}
	if encrypt && time.Until(key.expires) < time.Minute {
		data, err := c.nn.call(ctx, "getDataEncryptionKey", new(message))
		if err != nil {
			return nil, err
		}
		if key, err = decodeKey(data); err != nil {
			return nil, err
		}
	}
	c.keys.mu.Lock()
	c.keys.asked, c.keys.encrypt, c.keys.key = true, encrypt, key
	c.keys.mu.Unlock()
	if !encrypt {
		return nil, nil
	}
	return &key, nil
}

func decodeKey(data []byte) (k transferKey, err error) {
	field, _, err := only(data, 1)
	if err != nil {
		return k, err
	}
	var id int32
	var pool, nonce string
	s := scan{rest: field}
	for s.next() {
		switch s.no {
		case 1:
			id = int32(uint32(s.num))
		case 2:
			pool = string(s.data)
		case 3:
			nonce = base64.StdEncoding.EncodeToString(s.data)
		case 4:
			k.password = base64.StdEncoding.EncodeToString(s.data)
		case 5:
			k.expires = time.UnixMilli(int64(s.num))
		}
	}
	k.name = fmt.Sprintf("%d %s %s", id, pool, nonce)
	return k, s.err
}

var errUnknownKey = errors.New("the DataNode does not know the key")

// A greeting is a DataTransferEncryptorMessageProto.
type greeting struct {
	payload                    []byte
	suite                      uint64
	inKey, inIV, outKey, outIV []byte
}

func readGreeting(in *bufio.Reader) (g greeting, err error) {
	data, err := readDelimited(in, maxMessage)
	if err != nil {
		return g, err
	}
	return decodeGreeting(data)
}

func decodeGreeting(data []byte) (g greeting, err error) {
	var state uint64
	var text string
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 1:
			state = s.num
		case 2:
			g.payload = s.data
		case 3:
			text = string(s.data)
		case 4:
			o := scan{rest: s.data}
			for o.next() {
				switch o.no {
				case 1:
					g.suite = o.num
				case 2:
					g.inKey = o.data
				case 3:
					g.inIV = o.data
				case 4:
					g.outKey = o.data
				case 5:
					g.outIV = o.data
				}
			}
			s.err = o.err
		}
	}
	switch {
	case s.err != nil:
		return g, s.err
	case state == 1:
		return g, errUnknownKey
	case state != 0:
		return g, fmt.Errorf("the DataNode refuses the login: %s", text)
	}
	return g, nil
}

// digestLogin does the exchange. It reads no byte beyond it.
func digestLogin(nc net.Conn, key transferKey, protections []string) (net.Conn, error) {
	in := bufio.NewReaderSize(nc, 16) // the server speaks only when it is asked
	if _, err := nc.Write(delimited(binary.BigEndian.AppendUint32(nil, deadBeef), *new(message).num(1, 0))); err != nil {
		return nil, err
	}
	g, err := readGreeting(in)
	if err != nil {
		return nil, err
	}
	var d digest
	response, err := d.respond(g.payload, key, protections)
	if err != nil {
		return nil, err
	}
	m := new(message).num(1, 0).bytes(2, response)
	if d.qop == "auth-conf" {
		m.bytes(4, *new(message).num(1, suiteAES))
	}
	if _, err := nc.Write(delimited(nil, *m)); err != nil {
		return nil, err
	}
	if g, err = readGreeting(in); err != nil {
		return nil, err
	}
	if !bytes.Contains(g.payload, []byte("rspauth="+d.proof)) {
		return nil, errors.New("the DataNode does not prove that it knows the token")
	}
	if in.Buffered() > 0 {
		return nil, errors.New("the DataNode says more than it was asked")
	}
	switch {
	case d.qop == "auth":
		return nc, nil
	case d.qop == "auth-conf" && g.suite == suiteAES:
		return d.counters(nc, g)
	}
	return &digestConn{Conn: nc, d: &d, in: bufio.NewReader(nc)}, nil
}

// A digest is one exchange, and the layer that it agrees on.
type digest struct {
	qop            string
	proof          string // of the server
	signOut        []byte
	signIn         []byte
	sealOut        *rc4.Cipher // nil: integrity alone
	sealIn         *rc4.Cipher
	sent, received uint32
}

func sum(parts ...string) []byte {
	h := md5.New()
	for _, p := range parts {
		io.WriteString(h, p)
	}
	return h.Sum(nil)
}

func (d *digest) respond(challenge []byte, key transferKey, protections []string) ([]byte, error) {
	fields, err := directives(string(challenge))
	if err != nil {
		return nil, err
	}
	offered := strings.Split(fields["qop"], ",")
	wanted := map[string]string{"auth": "authentication", "auth-int": "integrity", "auth-conf": "privacy"}
	for _, q := range []string{"auth-conf", "auth-int", "auth"} {
		if slices.Contains(offered, q) && (len(protections) == 0 || slices.Contains(protections, wanted[q])) {
			d.qop = q
			break
		}
	}
	if d.qop == "" {
		return nil, fmt.Errorf("the DataNode offers the protection %q and dfs.data.transfer.protection is %s", fields["qop"], strings.Join(protections, ","))
	}
	if d.qop == "auth-conf" && !slices.Contains(strings.Split(fields["cipher"], ","), "rc4") {
		return nil, fmt.Errorf("the DataNode encrypts with %q; rc4 is needed, if only to agree on AES", fields["cipher"])
	}
	realm, nonce, cnonce := fields["realm"], fields["nonce"], rand.Text()
	a1 := string(sum(string(sum(key.name, ":", realm, ":", key.password)), ":", nonce, ":", cnonce))
	tail := ""
	if d.qop != "auth" {
		tail = ":00000000000000000000000000000000"
	}
	answer := func(who string) string {
		a2 := hex.EncodeToString(sum(who, ":", digestURI, tail))
		return hex.EncodeToString(sum(hex.EncodeToString([]byte(a1)), ":", nonce, ":00000001:", cnonce, ":", d.qop, ":", a2))
	}
	d.proof = answer("")
	d.signOut = sum(a1, "Digest session key to client-to-server signing key magic constant")
	d.signIn = sum(a1, "Digest session key to server-to-client signing key magic constant")
	response := fmt.Sprintf(`charset=utf-8,username="%s",realm="%s",nonce="%s",nc=00000001,cnonce="%s",digest-uri="%s",maxbuf=65536,response=%s,qop=%s`,
		key.name, realm, nonce, cnonce, digestURI, answer("AUTHENTICATE"), d.qop)
	if d.qop != "auth-conf" {
		return []byte(response), nil
	}
	if d.sealOut, err = rc4.NewCipher(sum(a1, "Digest H(A1) to client-to-server sealing key magic constant")); err != nil {
		return nil, err
	}
	if d.sealIn, err = rc4.NewCipher(sum(a1, "Digest H(A1) to server-to-client sealing key magic constant")); err != nil {
		return nil, err
	}
	return []byte(response + `,cipher="rc4"`), nil
}

// directives are name=value between commas, the value perhaps in quotes.
func directives(s string) (map[string]string, error) {
	fields := map[string]string{}
	for s = strings.TrimLeft(s, ", \t\n"); s != ""; s = strings.TrimLeft(s, ", \t\n") {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("a challenge with %.40q", s)
		}
		var value string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if value, s, ok = strings.Cut(quoted, `"`); !ok {
				return nil, errors.New("a challenge with an open quote")
			}
		} else if i := strings.IndexByte(rest, ','); i >= 0 {
			value, s = rest[:i], rest[i:]
		} else {
			value, s = rest, ""
		}
		fields[strings.ToLower(strings.TrimSpace(name))] = value
	}
	return fields, nil
}

func (d *digest) mac(key []byte, number uint32, b []byte) []byte {
	h := hmac.New(md5.New, key)
	h.Write(binary.BigEndian.AppendUint32(nil, number))
	h.Write(b)
	return h.Sum(nil)[:digestMAC]
}

func (d *digest) wrap(to, b []byte) []byte {
	start := len(to)
	to = append(append(to, b...), d.mac(d.signOut, d.sent, b)...)
	if d.sealOut != nil {
		d.sealOut.XORKeyStream(to[start:], to[start:])
	}
	to = binary.BigEndian.AppendUint32(append(to, 0, 1), d.sent)
	d.sent++
	return to
}

// unwrap changes b.
func (d *digest) unwrap(b []byte) ([]byte, error) {
	n := len(b) - digestTail
	if n < 0 || b[n+digestMAC] != 0 || b[n+digestMAC+1] != 1 || binary.BigEndian.Uint32(b[n+digestMAC+2:]) != d.received {
		return nil, errors.New("a wrapped piece that is none, or out of turn")
	}
	body := b[:n+digestMAC]
	if d.sealIn != nil {
		d.sealIn.XORKeyStream(body, body)
	}
	if subtle.ConstantTimeCompare(body[n:], d.mac(d.signIn, d.received, body[:n])) != 1 {
		return nil, errors.New("a wrapped piece of a wrong checksum")
	}
	d.received++
	return body[:n], nil
}

// A digestConn wraps what goes over a connection.
type digestConn struct {
	net.Conn
	d    *digest
	in   *bufio.Reader
	left []byte
	out  []byte
}

func (c *digestConn) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += digestPiece {
		piece := p[n:min(len(p), n+digestPiece)]
		c.out = binary.BigEndian.AppendUint32(c.out[:0], uint32(len(piece)+digestTail))
		c.out = c.d.wrap(c.out, piece)
		if _, err := c.Conn.Write(c.out); err != nil {
			return n, err
		}
	}
	if cap(c.out) > 4096 {
		c.out = nil // many files are at rest
	}
	return len(p), nil
}

func (c *digestConn) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		var size [4]byte
		if _, err := io.ReadFull(c.in, size[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > digestLonger {
			return 0, fmt.Errorf("a wrapped piece of %d bytes; at most %d are taken", n, digestLonger)
		}
		piece, err := readSome(c.in, int(n))
		if err != nil {
			return 0, err
		}
		if c.left, err = c.d.unwrap(piece); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// A counterConn encrypts what goes over a connection with AES-CTR.
type counterConn struct {
	net.Conn
	send, receive cipher.Stream
}

func (d *digest) counters(nc net.Conn, g greeting) (net.Conn, error) {
	stream := func(key, iv []byte) (cipher.Stream, error) {
		key, err := d.unwrap(bytes.Clone(key))
		if err != nil {
			return nil, fmt.Errorf("opening the key of the connection: %w", err)
		}
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if len(iv) != aes.BlockSize {
			return nil, fmt.Errorf("an initial vector of %d bytes", len(iv))
		}
		return cipher.NewCTR(b, iv), nil
	}
	c := &counterConn{Conn: nc}
	var err error
	if c.send, err = stream(g.inKey, g.inIV); err != nil {
		return nil, err
	}
	c.receive, err = stream(g.outKey, g.outIV)
	return c, err
}

func (c *counterConn) Write(p []byte) (int, error) {
	b := make([]byte, len(p))
	c.send.XORKeyStream(b, p)
	return c.Conn.Write(b)
}

func (c *counterConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.receive.XORKeyStream(p[:n], p[:n])
	return n, err
}
