package http

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	sluicetls "github.com/sluice-io/sluice/internal/tls"
)

// jetty are the settings of Jetty's that Flume passes on, by the names of Jetty's setters. Those that mean something here are
// applied; each of the others is named in a warning.
type jetty struct {
	settings *Settings

	idle          time.Duration // a connection may be idle, or stop in the middle
	head          int           // bytes of a request line with its header fields
	threads       int           // requests that are put into the channels at one time
	date          bool          // answers have one
	persistent    bool          // connections stay for more requests
	dataRate      int64         // bytes a second that a body must have; 0: any number
	needClient    bool          // clients must show a certificate
	wantClient    bool          // they may
	trust, secret string        // the certificates of clients, for those

	pool, configuration, connector, ssl conf.Values
}

// Declare declares the four families and the trust store.
func (j *jetty) Declare(d *conf.Decl) {
	j.idle, j.head, j.threads, j.date, j.persistent = defaultIdle, defaultHead, defaultThreads, true, true
	d.Rest(&j.pool, "QueuedThreadPool.", "Jetty's pool. Of its settings maxThreads (200) is applied: the most requests that are put into the channels at one time, while others wait.")
	d.Rest(&j.configuration, "HttpConfiguration.", "Jetty's HTTP. Applied are requestHeaderSize (8192), idleTimeout, minRequestDataRate, persistentConnectionsEnabled, sendDateHeader and sendServerVersion = false.")
	d.Rest(&j.connector, "ServerConnector.", "Jetty's port. Applied are idleTimeout (30000 ms), and host and port, which win over bind and port.")
	d.Rest(&j.ssl, "SslContextFactory.", "Jetty's TLS. Applied are includeProtocols, excludeProtocols, includeCipherSuites and excludeCipherSuites, which win over the settings of those names, and needClientAuth and wantClientAuth.")
	d.String(&j.trust, "truststore", "", "The file with the certificates to trust of clients, where SslContextFactory.needClientAuth or wantClientAuth is true. In Flume the system property alone says it.").
		From("javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH")
	d.String(&j.secret, "truststore-password", "", "The password of the trust store; a JKS file is also read without.").Secret().
		From("javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD")
	d.Check(j.apply)
}

// A bean is one of Jetty's objects.
type bean struct {
	name   string
	values conf.Values
	// set are the setters that mean something here.
	set map[string]func(text string) error
	// numbers, truths and texts are the others.
	numbers, truths, texts string
}

func (j *jetty) beans() []bean {
	s := j.settings
	list := func(key string, suites bool) func(string) error {
		return func(text string) error {
			words := strings.Fields(text)
			if suites {
				var err error
				if words, err = expand(words); err != nil {
					return err
				}
			}
			s.TLS.SetList(key, words)
			return nil
		}
	}
	return []bean{
		{
			"QueuedThreadPool.", j.pool, map[string]func(string) error{"maxThreads": number(&j.threads, 1)},
			"idleTimeout lowThreadsThreshold minThreads reservedThreads stopTimeout threadsPriority", "daemon detailedDump", "name",
		},
		{
			"HttpConfiguration.", j.configuration, map[string]func(string) error{
				"requestHeaderSize": number(&j.head, 256), "idleTimeout": j.millis, "minRequestDataRate": number(&j.dataRate, 0),
				"persistentConnectionsEnabled": truth(&j.persistent), "sendDateHeader": truth(&j.date), "sendServerVersion": never, "sendXPoweredBy": never,
			},
			"blockingTimeout headerCacheSize maxErrorDispatches minResponseDataRate outputAggregationSize outputBufferSize responseHeaderSize securePort",
			"delayDispatchUntilContent notifyRemoteAsyncErrors relativeRedirectAllowed", "formEncodedMethods secureScheme",
		},
		{
			"ServerConnector.", j.connector, map[string]func(string) error{
				"port": number(&s.Port, 0), "host": func(text string) error { s.Bind = text; return nil }, "idleTimeout": j.millis,
			},
			"acceptQueueSize acceptedReceiveBufferSize acceptedSendBufferSize acceptorPriorityDelta soLingerTime stopTimeout",
			"acceptedTcpNoDelay accepting inheritChannel reuseAddress", "defaultProtocol name",
		},
		{
			"SslContextFactory.", j.ssl, map[string]func(string) error{
				"includeProtocols": list("include-protocols", false), "excludeProtocols": list("exclude-protocols", false),
				"includeCipherSuites": list("include-cipher-suites", true), "excludeCipherSuites": list("exclude-cipher-suites", true),
				"needClientAuth": truth(&j.needClient), "wantClientAuth": truth(&j.wantClient),
			},
			"maxCertPathLength renegotiationLimit sslSessionCacheSize sslSessionTimeout stopTimeout",
			"enableCRLDP enableOCSP renegotiationAllowed sessionCachingEnabled trustAll useCipherSuitesOrder validateCerts validatePeerCerts",
			"certAlias crlPath endpointIdentificationAlgorithm keyManagerFactoryAlgorithm keyManagerPassword keyStorePassword keyStorePath keyStoreProvider keyStoreType " +
				"ocspResponderURL protocol provider secureRandomAlgorithm trustManagerFactoryAlgorithm trustStorePassword trustStorePath trustStoreProvider trustStoreType",
		},
	}
}

// apply reads the values. One that its setter could not read keeps Flume's source from starting.
func (j *jetty) apply() error {
	var problems []error
	for _, b := range j.beans() {
		for _, v := range b.values {
			key := b.name + v.Key
			has := func(list string) bool { return slices.Contains(strings.Fields(list), v.Key) }
			idle := conf.Warn(key, errors.New("has no effect: there is nothing like it here"))
			set, ok := b.set[v.Key]
			switch {
			case ok:
				if err := set(v.Text); errors.Is(err, errNever) {
					problems = append(problems, conf.Warn(key, err))
				} else if err != nil {
					problems = append(problems, conf.At(key, err))
				}
			case has(b.numbers):
				if _, err := strconv.ParseInt(v.Text, 10, 64); err != nil {
					idle = conf.At(key, fmt.Errorf("%q is not a number", v.Text))
				}
				problems = append(problems, idle)
			case has(b.truths), has(b.texts):
				problems = append(problems, idle)
			default:
				problems = append(problems, conf.Warn(key, fmt.Errorf("is no setting of Jetty's %s; Flume ignores it too", strings.TrimSuffix(b.name, "."))))
			}
		}
	}
	if s := j.settings; s.Port > 65535 {
		problems = append(problems, conf.At("ServerConnector.port", fmt.Errorf("%d is more than 65535, the most it may be", s.Port)))
	}
	return errors.Join(problems...)
}

// errNever is what becomes of asking for what is not told to anybody.
var errNever = errors.New("has no effect: answers do not name the server")

func never(text string) error {
	if strings.EqualFold(text, "true") {
		return errNever
	}
	return nil
}

func number[T int | int64](p *T, least T) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		if T(n) < least {
			return fmt.Errorf("%d is less than %d, the least it may be", n, least)
		}
		*p = T(n)
		return nil
	}
}

func truth(p *bool) func(string) error {
	return func(text string) error {
		*p = strings.EqualFold(text, "true")
		return nil
	}
}

// millis sets the idle time. Jetty's zero is for ever, and less is what is set elsewhere; nothing is for ever here.
func (j *jetty) millis(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a number of milliseconds", text)
	case n < 0:
		return nil
	case n == 0 || n > int64(24*time.Hour/time.Millisecond):
		n = int64(24 * time.Hour / time.Millisecond)
	}
	j.idle = time.Duration(n) * time.Millisecond
	return nil
}

// expand makes names of Jetty's patterns for cipher suites, which are Java's regular expressions over whole names.
func expand(patterns []string) ([]string, error) {
	var out []string
	for _, p := range patterns {
		re, err := regexp.Compile("^(?:" + p + ")$")
		if err != nil {
			return nil, fmt.Errorf("%q is not a pattern that can be read: %w", p, err)
		}
		found := false
		for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if re.MatchString(s.Name) {
				out, found = append(out, s.Name), true
			}
		}
		if !found && regexp.QuoteMeta(p) == p {
			out = append(out, p) // a name that TLS will say a word about
		}
	}
	return out, nil
}

// clients makes the configuration ask clients for certificates, if it shall.
func (j *jetty) clients(c *tls.Config) error {
	if c == nil || !j.needClient && !j.wantClient {
		return nil
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if j.needClient {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if j.trust == "" {
		return nil // the system's authorities, as in Java
	}
	trust, err := sluicetls.LoadTruststore(j.trust, j.secret)
	if err != nil {
		return err
	}
	c.ClientCAs = trust.Pool()
	return nil
}
