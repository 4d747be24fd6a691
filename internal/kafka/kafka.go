// Package kafka is what the Kafka source, sink and channel have in common. It takes the properties of Kafka's Java clients,
// as Flume's files have them below kafka.consumer. and kafka.producer., for a client in Go.
//
//	file ─▶ Client.Declare ─▶ the table ([Properties]) ─┬▶ Client.OpenSender ─▶ Sender: batches, each record with its fate
//	                                                     └▶ Client.Join ─▶ Member: of a group, commits behind what it passes
//
// The table says of every property what it does here or why it does nothing; it is the documentation too. A property
// without effect is a warning at its line, and so is one that no Kafka client knows. A value that cannot be read is
// fatal for the component, with its line. What is not set has the default of the Java client that Flume 1.11 brings
// (2.7), where the table does not say otherwise. Keys, values and header values are bytes and pass unchanged.
//
// Key stores, JAAS files and Kerberos files are opened by Open, not when the file is read: what is wrong with them
// is an error of opening the component, which is tried again.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// A Role is one of Kafka's two clients.
type Role string

const (
	Consumer Role = "consumer"
	Producer Role = "producer"
)

// A Client holds what the file says below kafka.consumer. or kafka.producer.
type Client struct {
	Acks  string // the producer's acks, which the component declares: it has old names and defaults of Flume's
	Reset string // the consumer's auto.offset.reset, where the component declares it; empty: where it does not

	role   Role
	prefix string
	values conf.Values
	c      config
	jaas   string // -Djava.security.auth.login.config
	krb5   string // -Djava.security.krb5.conf
}

// Declare declares the properties below prefix, which ends with a dot. Settings below prefix that the component
// declares itself are left to it.
func (c *Client) Declare(d *conf.Decl, role Role, prefix string) {
	c.role, c.prefix = role, prefix
	c.jaas, _ = d.Property("java.security.auth.login.config")
	c.krb5, _ = d.Property("java.security.krb5.conf")
	s := &c.c.stores
	d.String(&s.keystore, prefix+"ssl.keystore.location", "", "The file with the client's private key and certificates: JKS, PKCS12 or PEM.").
		From("javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH")
	d.String(&s.keystorePassword, prefix+"ssl.keystore.password", "", "The password of the key store.").Secret().
		From("javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD")
	d.String(&s.keystoreType, prefix+"ssl.keystore.type", "JKS", "The format of the key store; a file is read whatever it is, PEM also means ssl.keystore.key.").
		From("javax.net.ssl.keyStoreType", "FLUME_SSL_KEYSTORE_TYPE")
	d.String(&s.truststore, prefix+"ssl.truststore.location", "", "The file with the certificates to trust: JKS, PKCS12 or PEM. Without one the system's authorities are trusted.").
		From("javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH")
	d.String(&s.truststorePassword, prefix+"ssl.truststore.password", "", "The password of the trust store; a JKS file is also read without.").Secret().
		From("javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD")
	d.String(&s.truststoreType, prefix+"ssl.truststore.type", "JKS", "The format of the trust store; a file is read whatever it is, PEM also means ssl.truststore.certificates.").
		From("javax.net.ssl.trustStoreType", "FLUME_SSL_TRUSTSTORE_TYPE")
	d.Rest(&c.values, prefix, "Every property of Kafka's "+string(role)+", as Java's client calls it; the table of Kafka properties says what each does.")
	d.Check(c.check)
}

// check reads the properties. The error joins all that is wrong, each at its key.
func (c *Client) check() error {
	stores := c.c.stores
	c.c = config{role: c.role, stores: stores}
	table := Properties(c.role)
	find := func(name string) *Property {
		if i := slices.IndexFunc(table, func(p Property) bool { return p.Name == name }); i >= 0 {
			return &table[i]
		}
		return nil
	}
	var problems []error
	given := map[string]string{} // property to key
	unread := false              // a value could not be read
	take := func(p *Property, key, text string) {
		given[p.Name] = key
		if p.None != "" {
			problems = append(problems, conf.Warn(key, errors.New("has no effect: "+p.None)))
			return
		}
		if err := p.take(&c.c, text); err != nil {
			problems = append(problems, placed(key, err))
			unread = unread || !errors.As(err, new(notice))
		}
	}
	if c.role == Producer {
		take(find("acks"), c.prefix+"acks", c.Acks)
	}
	if c.Reset != "" {
		take(find("auto.offset.reset"), c.prefix+"auto.offset.reset", c.Reset)
	}
	for _, v := range c.values {
		p := find(v.Key)
		switch {
		case p == nil:
			problems = append(problems, conf.Warn(c.prefix+v.Key, unknown(v.Key, c.role, table)))
		case p.Declared:
			problems = append(problems, conf.Warn(c.prefix+v.Key, fmt.Errorf("has no effect: %s", p.Doc)))
		default:
			take(p, c.prefix+v.Key, v.Text)
		}
	}
	for i := range table {
		p := &table[i]
		if _, ok := given[p.Name]; ok || p.take == nil || p.Default == "" {
			continue
		}
		if err := p.take(&c.c, p.Default); err != nil {
			panic("BUG: the default of " + p.Name + ": " + err.Error())
		}
	}
	if unread {
		return errors.Join(problems...) // what the other properties are compared with is not known
	}
	for _, e := range c.c.conflicts() {
		key := c.prefix + e.name
		if k, ok := given[e.name]; ok {
			key = k
		}
		problems = append(problems, placed(key, e.err))
	}
	return errors.Join(problems...)
}

// notice is an error that the component runs with.
type notice struct{ error }

func placed(key string, err error) error {
	var n notice
	if errors.As(err, &n) {
		return conf.Warn(key, n.error)
	}
	return conf.At(key, err)
}

func unknown(name string, role Role, table []Property) error {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	text := fmt.Sprintf("has no effect: it is not a property of Kafka's %s", role)
	if near := conf.Nearest(name, names); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return errors.New(text)
}

// Idempotent reports whether the producer is idempotent, and whether the file asks for it by name.
func (c *Client) Idempotent() (is, asked bool) { return c.c.idempotent(), c.c.idempotence != nil }

// WithoutIdempotence is the client with enable.idempotence = false.
func (c *Client) WithoutIdempotence() *Client {
	other := *c
	off := false
	other.c.idempotence = &off
	return &other
}

// Buffer is buffer.memory: the most bytes that a delivery may have.
func (c *Client) Buffer() int { return c.c.bufferMemory }

// Largest is max.request.size: the most bytes that one record may have, and a request's share of one partition.
func (c *Client) Largest() int { return c.c.maxRequest }

// DeliveryTimeout is delivery.timeout.ms: how long a record may take to be acknowledged. The client's own limit counts
// from the record's timestamp, which may be years ago; so it is left to the context that a record is sent with.
func (c *Client) DeliveryTimeout() time.Duration { return c.c.deliveryTimeout }

// RebalanceTimeout is max.poll.interval.ms: how long a member of the group may take to give partitions up.
func (c *Client) RebalanceTimeout() time.Duration { return c.c.rebalanceTimeout }

// patience is how long a broker has to answer when a component opens.
const patience = 10 * time.Second

// Open opens the files that the properties name, makes a client of these brokers and waits until one of them answers.
// The error lists the brokers and the reason; from then on the log says which broker is out of reach.
func (c *Client) Open(ctx context.Context, brokers []string, name string, log *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.c.options(c.prefix, c.jaas, c.krb5)
	if err != nil {
		return nil, err
	}
	l := newLogger(log)
	opts = append(opts, kgo.SeedBrokers(brokers...), kgo.WithLogger(l), kgo.WithHooks(l))
	if c.c.clientID == "" {
		opts = append(opts, kgo.ClientID(name))
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		reasons := l.reasons()
		cl.CloseAllowingRebalance()
		return nil, fmt.Errorf("reaching Kafka at %s: %w%s", strings.Join(brokers, ","), err, reasons)
	}
	l.opened()
	return cl, nil
}

// Brokers reads a list of host:port, separated by commas, which stands at key. A missing port is 9092, with a warning;
// with any other error there are no brokers.
func Brokers(key, list string) ([]string, error) {
	var out, portless []string
	for _, b := range strings.Split(list, ",") {
		b = strings.TrimSpace(b)
		if b == "" {
			continue
		}
		host, port, err := net.SplitHostPort(b)
		if err != nil {
			host, port, err = net.SplitHostPort(b + ":9092")
			portless = append(portless, strconv.Quote(b))
		}
		n, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numErr != nil || n == 0 || host == "" || strings.ContainsAny(host, " /@") {
			return nil, conf.At(key, fmt.Errorf("%q is not host:port", b))
		}
		out = append(out, net.JoinHostPort(host, port))
	}
	if len(out) == 0 {
		return nil, conf.At(key, errors.New("names no broker; give host:port,host:port"))
	}
	if len(portless) > 0 {
		return out, conf.Warn(key, fmt.Errorf("%s without a port: 9092 is taken; Flume refuses that, so give host:port", strings.Join(portless, ", ")))
	}
	return out, nil
}

// Endpoints names a topic at each of its brokers, for what check knows of loops: two lists that share a broker share
// the topic.
func Endpoints(brokers []string, topic string) []flume.Endpoint {
	out := make([]flume.Endpoint, len(brokers))
	for i, b := range brokers {
		out[i] = flume.Endpoint("kafka://" + strings.ToLower(b) + "/" + topic)
	}
	return out
}

// Idle declares a setting of other components and older ones, which does nothing, and says why. It warns where required
// settings are missing too: it is often what stands in their place.
func Idle(d *conf.Decl, key, why string) {
	var text string
	d.String(&text, key, "", "Of other Kafka components and older ones; it has no effect.").Bound(func() error {
		if text == "" {
			return nil
		}
		return conf.Warn(key, errors.New("has no effect: "+why))
	})
}
