package hdfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	krb5client "github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/chksumtype"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// KerberosOptions say who logs in.
type KerberosOptions struct {
	Principal   string // user or user/host, with @REALM if that is not the default
	KeyTab      string // "": the tickets of Cache, which somebody else keeps fresh
	Cache       string // "": KRB5CCNAME, else /tmp/krb5cc_UID
	Krb5Conf    string // "": KRB5_CONFIG, else /etc/krb5.conf
	Protections []string
}

// Kerberos is a Login by GSSAPI. It renews its tickets until it is closed.
type Kerberos struct {
	user       string
	offers     byte // QOPs that will do
	fromCache  func() (*krb5client.Client, error)
	fromKeyTab *krb5client.Client
}

// The qualities of protection, as a server offers them in a mask.
const (
	qopAuthentication = 1
	qopIntegrity      = 2
	qopPrivacy        = 4
)

// NewKerberos reads the key tab, and contacts nobody. Protections are those of hadoop.rpc.protection (authentication,
// integrity, privacy); none: as the server wants it.
func NewKerberos(o KerberosOptions) (*Kerberos, error) {
	k := &Kerberos{}
	for _, p := range o.Protections {
		switch strings.ToLower(p) {
		case "authentication":
			k.offers |= qopAuthentication
		case "integrity":
			k.offers |= qopIntegrity
		case "privacy":
			k.offers |= qopPrivacy
		default:
			return nil, fmt.Errorf("hadoop.rpc.protection %q is none of authentication, integrity, privacy", p)
		}
	}
	if k.offers == 0 {
		k.offers = qopAuthentication | qopIntegrity | qopPrivacy
	}
	file := firstOf(o.Krb5Conf, os.Getenv("KRB5_CONFIG"), "/etc/krb5.conf")
	conf, err := krb5.Load(file)
	if err != nil {
		return nil, fmt.Errorf("reading the Kerberos configuration %s: %w", file, err)
	}
	// Active Directory does not negotiate FAST, and others do without.
	settings := krb5client.DisablePAFXFAST(true)
	if o.KeyTab == "" {
		cache := strings.TrimPrefix(firstOf(o.Cache, os.Getenv("KRB5CCNAME"), fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid())), "FILE:")
		k.fromCache = func() (*krb5client.Client, error) {
			tickets, err := credentials.LoadCCache(cache)
			if err != nil {
				return nil, fmt.Errorf("reading the ticket cache %s: %w", cache, err)
			}
			return krb5client.NewFromCCache(tickets, conf, settings)
		}
		cl, err := k.fromCache()
		if err != nil {
			return nil, err
		}
		k.user = cl.Credentials.UserName() + "@" + cl.Credentials.Domain()
		return k, nil
	}
	tab, err := keytab.Load(o.KeyTab)
	if err != nil {
		return nil, fmt.Errorf("reading the key tab %s: %w", o.KeyTab, err)
	}
	user, realm, _ := strings.Cut(o.Principal, "@")
	if user == "" {
		return nil, errors.New("a key tab is set, but no principal")
	}
	if realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	k.user = user + "@" + realm
	k.fromKeyTab = krb5client.NewWithKeytab(user, realm, tab, conf, settings)
	return k, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// User is the principal with its realm.
func (k *Kerberos) User() string { return k.user }

// Close ends the renewal of tickets.
func (k *Kerberos) Close() {
	if k.fromKeyTab != nil {
		k.fromKeyTab.Destroy()
	}
}

// Begin gets a ticket for a service.
func (k *Kerberos) Begin(ctx context.Context, service string) (Exchange, error) {
	cl := k.fromKeyTab
	if cl == nil {
		var err error
		if cl, err = k.fromCache(); err != nil {
			return nil, err
		}
	}
	name, _, _ := strings.Cut(service, "@")
	ticket, key, err := cl.GetServiceTicket(name)
	if err != nil {
		return nil, fmt.Errorf("getting a ticket of %s for %s: %w", k.user, name, err)
	}
	if !isAES(key) {
		return nil, fmt.Errorf("the ticket for %s is encrypted with type %d; AES is needed", name, key.KeyType)
	}
	return &gssExchange{client: cl, ticket: ticket, session: key, key: key, offers: k.offers}, nil
}

// A gssExchange is the initiator of GSSAPI with Kerberos (RFC 4121) below SASL (RFC 4752): AP-REQ, AP-REP, and the
// server's offer of protection with our choice.
type gssExchange struct {
	client       *krb5client.Client
	ticket       messages.Ticket
	session, key types.EncryptionKey
	offers       byte
	step         int
	when         time.Time
	micros       int
	sealer       gssSealer
	chosen       byte
}

func (x *gssExchange) Next(challenge []byte) ([]byte, error) {
	x.step++
	switch x.step {
	case 1:
		return x.request()
	case 2:
		return nil, x.reply(challenge)
	case 3:
		return x.choose(challenge)
	}
	return nil, errors.New("the server asks for more than Kerberos knows")
}

func (x *gssExchange) request() ([]byte, error) {
	who, err := types.NewAuthenticator(x.client.Credentials.Domain(), x.client.Credentials.CName())
	if err != nil {
		return nil, err
	}
	x.when, x.micros, x.sealer.next = who.CTime, who.Cusec, uint64(who.SeqNumber)
	sum := make([]byte, 24) // no channel is bound
	sum[0] = 16
	binary.LittleEndian.PutUint32(sum[20:], gssapi.ContextFlagMutual|gssapi.ContextFlagInteg|gssapi.ContextFlagConf)
	who.Cksum = types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: sum}
	r, err := messages.NewAPReq(x.ticket, x.session, who)
	if err != nil {
		return nil, fmt.Errorf("making the request to the server: %w", err)
	}
	types.SetFlag(&r.APOptions, flags.APOptionMutualRequired)
	raw, err := r.Marshal()
	if err != nil {
		return nil, fmt.Errorf("making the request to the server: %w", err)
	}
	return tagged(append([]byte(gssKerberos+"\x01\x00"), raw...)), nil
}

// gssKerberos is the object identifier of the mechanism, with which every token before the context begins, inside of
// ASN.1's [APPLICATION 0]; the kind of the token follows.
const gssKerberos = "\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"

// tagged puts ASN.1's [APPLICATION 0] before b.
func tagged(b []byte) []byte {
	head := []byte{0x60}
	switch n := len(b); {
	case n < 0x80:
		head = append(head, byte(n))
	case n < 0x100:
		head = append(head, 0x81, byte(n))
	case n < 0x10000:
		head = append(head, 0x82, byte(n>>8), byte(n))
	default:
		head = append(head, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(head, b...)
}

// reply proves that the server could read the ticket.
func (x *gssExchange) reply(challenge []byte) error {
	i := bytes.Index(challenge, []byte(gssKerberos))
	if i < 2 || i > 6 || len(challenge) < i+len(gssKerberos)+2 {
		return errors.New("the server's reply is not Kerberos'")
	}
	kind, body := challenge[i+len(gssKerberos)], challenge[i+len(gssKerberos)+2:]
	if kind == 3 {
		var refusal messages.KRBError
		if err := refusal.Unmarshal(body); err != nil {
			return fmt.Errorf("reading the server's refusal: %w", err)
		}
		return fmt.Errorf("the server refuses the ticket: %w", refusal)
	}
	var r messages.APRep
	if kind != 2 {
		return errors.New("the server does not prove who it is")
	}
	if err := r.Unmarshal(body); err != nil {
		return fmt.Errorf("reading the server's reply: %w", err)
	}
	plain, err := decrypt(x.session, r.EncPart.Cipher, keyusage.AP_REP_ENCPART)
	if err != nil {
		return fmt.Errorf("reading the server's reply: %w", err)
	}
	var part messages.EncAPRepPart
	if err := part.Unmarshal(plain); err != nil {
		return fmt.Errorf("reading the server's reply: %w", err)
	}
	if part.Cusec != x.micros || part.CTime.Unix() != x.when.Unix() {
		return errors.New("the server's reply is not to this request")
	}
	if len(part.Subkey.KeyValue) > 0 {
		if !isAES(part.Subkey) {
			return fmt.Errorf("the server wants to encrypt with type %d; AES is needed", part.Subkey.KeyType)
		}
		x.key, x.sealer.flags = part.Subkey, gssAcceptorSubkey
	}
	return nil
}

func isAES(k types.EncryptionKey) bool { return k.KeyType >= 17 && k.KeyType <= 20 }

// decrypt looks at the length first, which the library does not.
func decrypt(key types.EncryptionKey, b []byte, usage uint32) ([]byte, error) {
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, err
	}
	if len(b) < et.GetConfounderByteSize()+et.GetHMACBitLength()/8 {
		return nil, errShort
	}
	return et.DecryptMessage(key.KeyValue, b, usage)
}

// choose takes the best protection that both sides want.
func (x *gssExchange) choose(challenge []byte) ([]byte, error) {
	x.sealer.key = x.key
	offer, err := x.sealer.Open(challenge)
	if err != nil {
		return nil, err
	}
	if len(offer) != 4 {
		return nil, fmt.Errorf("an offer of protection of %d bytes", len(offer))
	}
	for _, q := range []byte{qopPrivacy, qopIntegrity, qopAuthentication} {
		if offer[0]&x.offers&q != 0 {
			x.chosen = q
			break
		}
	}
	if x.chosen == 0 {
		return nil, errors.New("the server offers no protection that hadoop.rpc.protection names")
	}
	answer, err := x.sealer.Seal([]byte{x.chosen, 0xff, 0xff, 0xff})
	if x.chosen == qopPrivacy {
		x.sealer.flags |= gssSealed
	}
	return answer, err
}

func (x *gssExchange) Sealer() Sealer {
	if x.chosen == qopAuthentication {
		return nil
	}
	return &x.sealer
}

// A gssSealer makes and opens the wrap tokens of RFC 4121:
//
//	05 04 | flags | FF | int16 EC | int16 RRC | int64 number
//	sealed:  encrypted (payload, EC bytes, this header with RRC 0)
//	else:    payload, checksum of EC bytes over the payload and this header with EC and RRC 0
//
// what comes after the header is rotated to the right by RRC bytes.
type gssSealer struct {
	key   types.EncryptionKey
	flags byte
	next  uint64
}

const (
	gssFromAcceptor   = 1
	gssSealed         = 2
	gssAcceptorSubkey = 4
	gssHeader         = 16
)

func (s *gssSealer) Seal(b []byte) ([]byte, error) {
	et, err := crypto.GetEtype(s.key.KeyType)
	if err != nil {
		return nil, err
	}
	token := append(make([]byte, 0, gssHeader+len(b)+64), 5, 4, s.flags, 0xff, 0, 0, 0, 0)
	token = binary.BigEndian.AppendUint64(token, s.next)
	s.next++
	signed := append(bytes.Clone(b), token...)
	if s.flags&gssSealed != 0 {
		_, sealed, err := et.EncryptMessage(s.key.KeyValue, signed, keyusage.GSSAPI_INITIATOR_SEAL)
		return append(token, sealed...), err
	}
	sum, err := et.GetChecksumHash(s.key.KeyValue, signed, keyusage.GSSAPI_INITIATOR_SEAL)
	binary.BigEndian.PutUint16(token[4:], uint16(len(sum)))
	return append(append(token, b...), sum...), err
}

func (s *gssSealer) Open(token []byte) ([]byte, error) {
	if len(token) < gssHeader || token[0] != 5 || token[1] != 4 || token[3] != 0xff || token[2]&gssFromAcceptor == 0 {
		return nil, errors.New("what should be wrapped by the server is not")
	}
	if s.flags&gssSealed != 0 && token[2]&gssSealed == 0 {
		return nil, errors.New("the server sends in the clear what should be encrypted")
	}
	et, err := crypto.GetEtype(s.key.KeyType)
	if err != nil {
		return nil, err
	}
	header, body := bytes.Clone(token[:gssHeader]), bytes.Clone(token[gssHeader:])
	extra := int(binary.BigEndian.Uint16(header[4:]))
	if n := len(body); n > 0 {
		r := int(binary.BigEndian.Uint16(header[6:])) % n
		body = append(body[r:], body[:r]...)
	}
	header[6], header[7] = 0, 0
	if header[2]&gssSealed != 0 {
		plain, err := decrypt(s.key, body, keyusage.GSSAPI_ACCEPTOR_SEAL)
		if err != nil {
			return nil, err
		}
		n := len(plain) - gssHeader - extra
		if n < 0 || !bytes.Equal(plain[n+extra:], header) {
			return nil, errors.New("a sealed message of another header")
		}
		return plain[:n], nil
	}
	n := len(body) - extra
	if n < 0 {
		return nil, errShort
	}
	header[4], header[5] = 0, 0
	if !et.VerifyChecksum(s.key.KeyValue, append(bytes.Clone(body[:n]), header...), body[n:], keyusage.GSSAPI_ACCEPTOR_SEAL) {
		return nil, errors.New("a wrapped message of a wrong checksum")
	}
	return body[:n], nil
}
