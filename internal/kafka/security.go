package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func securityProperties() []Property {
	const provider = "TLS is Go's own"
	const kinit = "tickets are taken from the key tab and renewed without a command"
	const refreshed = "a token is fetched anew before its time is over (sasl.login.refresh.window.factor)"
	const broker = "it is for brokers"
	return []Property{
		{Name: "security.protocol", Default: "PLAINTEXT", Doc: "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. The agent-wide key and trust stores (-Djavax.net.ssl.…, FLUME_SSL_…) hold for SSL and SASL_SSL where ssl.* does not name others.",
			take: choice(func(c *config, w string) { c.security.protocol = w }, "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")},

		{Name: "ssl.keystore.location", Declared: true, Doc: "is a setting of the component"},
		{Name: "ssl.keystore.password", Declared: true, Secret: true, Doc: "is a setting of the component"},
		{Name: "ssl.keystore.type", Declared: true, Default: "JKS", Doc: "is a setting of the component"},
		{Name: "ssl.truststore.location", Declared: true, Doc: "is a setting of the component"},
		{Name: "ssl.truststore.password", Declared: true, Secret: true, Doc: "is a setting of the component"},
		{Name: "ssl.truststore.type", Declared: true, Default: "JKS", Doc: "is a setting of the component"},
		{Name: "ssl.key.password", Secret: true, Doc: "The password of the private key. Not set: that of the key store.",
			take: text(func(c *config, s string) { c.security.keyPassword = s })},
		{Name: "ssl.keystore.key", Secret: true, Doc: "The client's private key, as PEM text.",
			take: text(func(c *config, s string) { c.security.key = s })},
		{Name: "ssl.keystore.certificate.chain", Doc: "The client's certificates, as PEM text, its own first.",
			take: text(func(c *config, s string) { c.security.chain = s })},
		{Name: "ssl.truststore.certificates", Doc: "The certificates to trust, as PEM text.",
			take: text(func(c *config, s string) { c.security.trusted = s })},
		{Name: "ssl.protocol", Default: "TLSv1.3", Doc: "The newest protocol to speak: TLSv1.3, TLSv1.2, TLSv1.1, TLSv1; TLS is TLSv1.3.",
			take: func(c *config, s string) error {
				v, ok := versionOf(s)
				if !ok {
					return fmt.Errorf("%q is not one of TLSv1.3, TLSv1.2, TLSv1.1, TLSv1, TLS", s)
				}
				c.security.highest = v
				return nil
			}},
		{Name: "ssl.enabled.protocols", Default: "TLSv1.2,TLSv1.3", Doc: "The protocols to speak, separated by commas. What lies between the oldest and the newest is spoken too.",
			take: func(c *config, s string) error {
				for _, name := range list(s) {
					v, ok := versionOf(name)
					if !ok {
						return fmt.Errorf("%q is not one of TLSv1.3, TLSv1.2, TLSv1.1, TLSv1", name)
					}
					c.security.versions = append(c.security.versions, v)
				}
				return nil
			}},
		{Name: "ssl.cipher.suites", Doc: "The cipher suites to use, by their IANA names. Those of TLS 1.3 cannot be chosen one by one.",
			take: suites},
		{Name: "ssl.endpoint.identification.algorithm", Default: "https", Doc: "https: a broker's certificate must name the host that was dialled.",
			take: func(c *config, s string) error {
				if !strings.EqualFold(s, "https") {
					return fmt.Errorf("%q is not https; ssl.disableTLSHostnameVerification = true leaves the name unchecked", s)
				}
				return nil
			}},
		{Name: "ssl.disableTLSHostnameVerification", Default: "false", Doc: "Whether a broker's certificate may name another host. A word of Flume's: its files cannot set ssl.endpoint.identification.algorithm to nothing.",
			take: func(c *config, s string) error { c.security.anyHost = strings.EqualFold(s, "true"); return nil }},
		{Name: "ssl.provider", None: provider},
		{Name: "ssl.keymanager.algorithm", None: provider},
		{Name: "ssl.trustmanager.algorithm", None: provider},
		{Name: "ssl.secure.random.implementation", None: provider},
		{Name: "ssl.engine.factory.class", None: provider + "; it names a Java class"},

		{Name: "sasl.mechanism", Default: "GSSAPI", Doc: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI (Kerberos).",
			take: func(c *config, s string) error {
				words := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"}
				if !slices.Contains(words, s) {
					return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
				}
				c.sasl.name = s
				return nil
			}},
		{Name: "sasl.jaas.config", Secret: true, Doc: "Who to log in as: a login module of Kafka's with its options and a semicolon at the end. Not set: section KafkaClient of the file that -Djava.security.auth.login.config names.",
			take: func(c *config, s string) error {
				m, err := parseLogin(s)
				if err != nil {
					return err // says nothing of what stands there
				}
				c.sasl.module = m
				return nil
			}},
		{Name: "sasl.kerberos.service.name", Doc: "The name of the brokers' Kerberos principal, mostly kafka.",
			take: text(func(c *config, s string) { c.sasl.service = s })},
		{Name: "sasl.login.callback.handler.class", Doc: "OAUTHBEARER: Kafka's OAuthBearerLoginCallbackHandler fetches a token from sasl.oauthbearer.token.endpoint.url; not set, an unsecured token is made from the login module's options.",
			take: loginHandler},
		{Name: "sasl.oauthbearer.token.endpoint.url", Doc: "Where to fetch a token for clientId and clientSecret of the login module: http, https, or file: for one that stands in a file.",
			take: text(func(c *config, s string) { c.sasl.endpoint = s })},
		{Name: "sasl.oauthbearer.client.credentials.client.id", Doc: "The client id for the token endpoint; else the login module's clientId.",
			take: text(func(c *config, s string) { c.sasl.clientID = s })},
		{Name: "sasl.oauthbearer.client.credentials.client.secret", Secret: true, Doc: "The client secret for the token endpoint; else the login module's clientSecret.",
			take: text(func(c *config, s string) { c.sasl.clientSecret = s })},
		{Name: "sasl.oauthbearer.scope", Doc: "The scope to ask the token endpoint for; else the login module's scope.",
			take: text(func(c *config, s string) { c.sasl.scope = s })},
		{Name: "sasl.oauthbearer.header.urlencode", Default: "false", Doc: "Whether client id and secret are URL-encoded before they are sent, as RFC 6749 has it.",
			take: flag(func(c *config, on bool) { c.sasl.encode = on })},
		{Name: "sasl.login.connect.timeout.ms", Doc: "How long connecting to the token endpoint may take. Not set: as long as an answer.",
			take: millis(func(c *config, d time.Duration) { c.sasl.connect = d }, time.Millisecond, forever)},
		{Name: "sasl.login.read.timeout.ms", Default: "30000", Doc: "How long the token endpoint may take to answer.",
			take: millis(func(c *config, d time.Duration) { c.sasl.read = d }, time.Millisecond, forever)},
		{Name: "sasl.login.refresh.window.factor", Default: "0.8", Doc: "The part of a token's life after which it is fetched anew, 0.5 to 1.",
			take: func(c *config, s string) error {
				f, err := strconv.ParseFloat(s, 64)
				if err != nil || f < 0.5 || f > 1 {
					return fmt.Errorf("%q is not a number from 0.5 to 1", s)
				}
				c.sasl.window = f
				return nil
			}},
		{Name: "sasl.login.refresh.window.jitter", None: refreshed},
		{Name: "sasl.login.refresh.min.period.seconds", None: refreshed},
		{Name: "sasl.login.refresh.buffer.seconds", None: refreshed},
		{Name: "sasl.login.retry.backoff.ms", None: "a failed login is tried again with the connection, after retry.backoff.ms"},
		{Name: "sasl.login.retry.backoff.max.ms", None: "a failed login is tried again with the connection, after retry.backoff.ms"},
		{Name: "sasl.login.class", None: "it names a Java class, which only a JVM can run"},
		{Name: "sasl.client.callback.handler.class", None: "it names a Java class, which only a JVM can run"},
		{Name: "sasl.kerberos.kinit.cmd", None: kinit},
		{Name: "sasl.kerberos.min.time.before.relogin", None: kinit},
		{Name: "sasl.kerberos.ticket.renew.jitter", None: kinit},
		{Name: "sasl.kerberos.ticket.renew.window.factor", None: kinit},
		{Name: "sasl.oauthbearer.sub.claim.name", None: broker},
		{Name: "sasl.oauthbearer.scope.claim.name", None: broker},
		{Name: "sasl.oauthbearer.expected.audience", None: broker},
		{Name: "sasl.oauthbearer.expected.issuer", None: broker},
		{Name: "sasl.oauthbearer.clock.skew.seconds", None: broker},
		{Name: "sasl.oauthbearer.jwks.endpoint.url", None: broker},
	}
}

func suites(c *config, s string) error {
	known := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	var missing []string
	for _, name := range list(s) {
		if rest, ok := strings.CutPrefix(name, "SSL_"); ok {
			name = "TLS_" + rest // what Java calls the oldest suites
		}
		i := slices.IndexFunc(known, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			missing = append(missing, name)
			continue
		}
		c.security.suites = append(c.security.suites, known[i].ID)
	}
	switch {
	case len(c.security.suites) == 0:
		return errors.New("names no cipher suite that Sluice has")
	case len(missing) > 0:
		return notice{fmt.Errorf("names %s, which Sluice does not have", strings.Join(missing, ", "))}
	}
	return nil
}

func loginHandler(c *config, class string) error {
	const pkg = "org.apache.kafka.common.security.oauthbearer."
	switch strings.TrimPrefix(class, pkg) {
	case "OAuthBearerLoginCallbackHandler", "secured.OAuthBearerLoginCallbackHandler":
		c.sasl.fetches = true
	case "internals.unsecured.OAuthBearerUnsecuredLoginCallbackHandler":
	default:
		return fmt.Errorf("%q is a Java class that needs a JVM; tokens can be fetched from sasl.oauthbearer.token.endpoint.url with %ssecured.OAuthBearerLoginCallbackHandler", class, pkg)
	}
	return nil
}
