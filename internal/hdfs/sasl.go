package hdfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// The states of a SASL message.
const (
	saslSuccess   = 0
	saslNegotiate = 1
	saslInitiate  = 2
	saslChallenge = 3
	saslResponse  = 4
	saslWrap      = 5
)

// A Login proves to services who we are.
type Login interface {
	// User is our principal, as the cluster knows us.
	User() string
	// Begin opens an exchange with a service's principal, such as nn/host@REALM.
	Begin(ctx context.Context, service string) (Exchange, error)
}

// An Exchange logs in on one connection.
type Exchange interface {
	// Next answers a challenge. The first one is nil.
	Next(challenge []byte) ([]byte, error)
	// Sealer wraps what is sent after the exchange; nil where nothing is to be wrapped.
	Sealer() Sealer
}

// A Sealer wraps the messages of one connection, and opens those of the server in their order.
type Sealer interface {
	Seal(b []byte) ([]byte, error)
	Open(b []byte) ([]byte, error)
}

// An auth is a way to log in that the server offers; raw is how it said so.
type auth struct {
	raw                                 []byte
	method, mechanism, protocol, server string
}

type saslMessage struct {
	state uint64
	token []byte
	auths []auth
}

func decodeSASL(data []byte) (m saslMessage, err error) {
	s := scan{rest: data}
	for s.next() {
		switch s.no {
		case 2:
			m.state = s.num
		case 3:
			m.token = s.data
		case 4:
			a := auth{raw: s.data}
			f := scan{rest: s.data}
			for f.next() {
				switch f.no {
				case 1:
					a.method = string(f.data)
				case 2:
					a.mechanism = string(f.data)
				case 3:
					a.protocol = string(f.data)
				case 4:
					a.server = string(f.data)
				}
			}
			if f.err != nil {
				return m, f.err
			}
			m.auths = append(m.auths, a)
		}
	}
	return m, s.err
}

// authenticate logs in before the first call of a connection.
func (k *conn) authenticate(ctx context.Context, principal string) error {
	got, err := k.exchange(new(message).num(2, saslNegotiate))
	if err != nil {
		return err
	}
	if got.state == saslSuccess {
		return errors.New("the server asks for no authentication, but Kerberos is configured")
	}
	var offer auth
	for _, a := range got.auths {
		if a.method == "KERBEROS" && a.mechanism == "GSSAPI" {
			offer = a
		}
	}
	if offer.raw == nil {
		return errors.New("the server does not offer Kerberos")
	}
	if principal == "" {
		principal = offer.protocol + "/" + offer.server
	}
	x, err := k.caller.login.Begin(ctx, principal)
	if err != nil {
		return err
	}
	token, err := x.Next(nil)
	if err != nil {
		return err
	}
	got, err = k.exchange(new(message).num(2, saslInitiate).bytes(3, token).bytes(4, offer.raw))
	for err == nil && got.state == saslChallenge {
		if token, err = x.Next(got.token); err == nil {
			got, err = k.exchange(new(message).num(2, saslResponse).bytes(3, token))
		}
	}
	if err != nil {
		return fmt.Errorf("logging in to %s: %w", principal, err)
	}
	if got.state != saslSuccess {
		return fmt.Errorf("logging in to %s: the server answers with state %d", principal, got.state)
	}
	k.sealed = x.Sealer()
	return nil
}

// exchange sends a SASL message and returns the server's.
func (k *conn) exchange(m *message) (saslMessage, error) {
	body := delimited(k.header(callSASL, -1), *m)
	if _, err := k.nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return saslMessage{}, err
	}
	frame, err := readFrame(k.in)
	if err != nil {
		return saslMessage{}, err
	}
	r, rest, err := decodeResponse(frame)
	if err != nil {
		return saslMessage{}, fmt.Errorf("decoding an answer: %w", err)
	}
	if r.status != 0 {
		return saslMessage{}, &RemoteError{Method: "authentication", Class: r.class, Message: r.text}
	}
	data, _, err := cut(rest)
	if err != nil {
		return saslMessage{}, fmt.Errorf("decoding an answer: %w", err)
	}
	return decodeSASL(data)
}

// unwrap opens an answer that came wrapped.
func (k *conn) unwrap(rest []byte) (response, []byte, error) {
	data, _, err := cut(rest)
	if err != nil {
		return response{}, nil, err
	}
	m, err := decodeSASL(data)
	if err != nil {
		return response{}, nil, err
	}
	if m.state != saslWrap || k.sealed == nil {
		return response{}, nil, fmt.Errorf("a SASL message of state %d among the answers", m.state)
	}
	frame, err := k.sealed.Open(m.token)
	if err != nil {
		return response{}, nil, fmt.Errorf("opening a wrapped answer: %w", err)
	}
	if len(frame) < 4 || uint64(binary.BigEndian.Uint32(frame)) != uint64(len(frame)-4) {
		return response{}, nil, errShort
	}
	return decodeResponse(frame[4:])
}
