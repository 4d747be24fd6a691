package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// login is how to authenticate.
type login struct {
	name    string // of the mechanism
	module  *module
	service string

	fetches                       bool // a token is fetched, not made
	endpoint                      string
	clientID, clientSecret, scope string
	encode                        bool
	connect, read                 time.Duration
	window                        float64
}

func (l *login) conflicts(s *security) []conflict {
	if s.sasl() {
		if l.name == "OAUTHBEARER" && l.fetches && l.endpoint == "" {
			return []conflict{{"sasl.oauthbearer.token.endpoint.url", errors.New("is required with that sasl.login.callback.handler.class")}}
		}
		return nil
	}
	if l.module != nil {
		return []conflict{{"sasl.jaas.config", notice{fmt.Errorf("has no effect: security.protocol is %s; SASL_SSL or SASL_PLAINTEXT logs in", s.protocol)}}}
	}
	return nil
}

// mechanism returns nil where nobody logs in.
func (l *login) mechanism(s *security, jaasFile, krb5File string) (sasl.Mechanism, error) {
	if !s.sasl() {
		return nil, nil
	}
	m := l.module
	if m == nil && jaasFile != "" {
		var err error
		if m, err = readLogin(jaasFile, "KafkaClient"); err != nil {
			return nil, err
		}
	}
	if m == nil && !l.fetches {
		return nil, errors.New("sasl.jaas.config is not set, and neither is -Djava.security.auth.login.config with a JAAS file")
	}
	switch l.name {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		return l.password(m)
	case "OAUTHBEARER":
		return l.bearer(m)
	case "GSSAPI":
		return l.kerberos(m, krb5File)
	}
	panic("BUG: a SASL mechanism that nobody knows")
}

func (l *login) password(m *module) (sasl.Mechanism, error) {
	user, pass := m.option("username"), m.option("password")
	want := "ScramLoginModule"
	if l.name == "PLAIN" {
		want = "PlainLoginModule"
	}
	if !m.is(want) {
		return nil, fmt.Errorf("sasl.mechanism %s needs the login module %s", l.name, want)
	}
	if user == "" {
		return nil, errors.New("the login module has no username")
	}
	a := scram.Auth{User: user, Pass: pass, IsToken: strings.EqualFold(m.option("tokenauth"), "true")}
	switch l.name {
	case "SCRAM-SHA-256":
		return a.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return a.AsSha512Mechanism(), nil
	}
	return plain.Auth{User: user, Pass: pass}.AsMechanism(), nil
}

// kerberos logs in from a key tab, once for all connections, or takes the tickets of a cache that somebody else keeps
// fresh, anew for every connection.
func (l *login) kerberos(m *module, krb5File string) (sasl.Mechanism, error) {
	if !m.is("Krb5LoginModule") {
		return nil, errors.New("sasl.mechanism GSSAPI (the default) needs the login module com.sun.security.auth.module.Krb5LoginModule")
	}
	service := l.service
	if service == "" {
		service = m.option("serviceName")
	}
	if service == "" {
		return nil, errors.New("sasl.kerberos.service.name is not set; it is mostly kafka")
	}
	if krb5File == "" {
		krb5File = "/etc/krb5.conf"
	}
	conf, err := krb5.Load(krb5File)
	if err != nil {
		return nil, fmt.Errorf("reading the Kerberos configuration %s (-Djava.security.krb5.conf names another): %w", krb5File, err)
	}
	// Active Directory does not negotiate FAST, and others do without.
	settings := client.DisablePAFXFAST(true)
	if path := m.option("keyTab"); path != "" {
		path = strings.TrimPrefix(path, "file:")
		tab, err := keytab.Load(path)
		if err != nil {
			return nil, fmt.Errorf("reading the key tab %s: %w", path, err)
		}
		user, realm, _ := strings.Cut(m.option("principal"), "@")
		if user == "" {
			return nil, errors.New("the login module has a keyTab but no principal")
		}
		if realm == "" {
			realm = conf.LibDefaults.DefaultRealm
		}
		return kerberos.Auth{Client: client.NewWithKeytab(user, realm, tab, conf, settings), Service: service}.AsMechanismWithClose(), nil
	}
	if !strings.EqualFold(m.option("useTicketCache"), "true") {
		return nil, errors.New("the login module has neither keyTab nor useTicketCache=true")
	}
	cache := ticketCache(m)
	return kerberos.Kerberos(func(context.Context) (kerberos.Auth, error) {
		tickets, err := credentials.LoadCCache(cache)
		if err != nil {
			return kerberos.Auth{}, fmt.Errorf("reading the ticket cache %s: %w", cache, err)
		}
		cl, err := client.NewFromCCache(tickets, conf, settings)
		if err != nil {
			return kerberos.Auth{}, fmt.Errorf("taking tickets from the cache %s: %w", cache, err)
		}
		return kerberos.Auth{Client: cl, Service: service}, nil
	}), nil
}

func ticketCache(m *module) string {
	for _, path := range []string{m.option("ticketCache"), os.Getenv("KRB5CCNAME")} {
		if path != "" {
			return strings.TrimPrefix(strings.TrimPrefix(path, "FILE:"), "file:")
		}
	}
	return fmt.Sprintf("/tmp/krb5cc_%d", os.Getuid())
}
