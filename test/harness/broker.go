package harness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// A Broker is one real Kafka broker with two listeners: PLAINTEXT, and SASL_SSL with every mechanism.
type Broker struct {
	Plain string // host:port without TLS
	SASL  string // host:port with TLS; the client says who it is by any of Mechanisms

	stage *Stage
	set   []string // settings of the broker

	client *kgo.Client
	admin  *kadm.Client

	krb5Conf, keytab string // the client's
}

// The user of every mechanism, and of Kerberos the principal.
const (
	user     = "sluice"
	password = `s,l"u;i=ce 1` // what careless quoting breaks
	realm    = "SLUICE.TEST"
)

// Mechanisms are those that the SASL listener takes.
func Mechanisms() []string {
	return []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"}
}

func openBroker(ctx context.Context, s *Stage) (*Broker, error) {
	b := &Broker{
		Plain:    net.JoinHostPort("127.0.0.1", strconv.Itoa(s.base)),
		SASL:     net.JoinHostPort("localhost", strconv.Itoa(s.base+saslPort)),
		stage:    s,
		krb5Conf: filepath.Join(s.Dir, "kdc", "krb5.conf"),
		keytab:   filepath.Join(s.Dir, "sluice.keytab"),
	}
	serverKeytab := filepath.Join(s.Dir, "kafka.keytab")
	for _, args := range [][]string{
		{"kdc", "start"},
		{"kdc", "principal", user, b.keytab},
		{"kdc", "principal", "kafka/localhost", serverKeytab},
	} {
		if _, err := s.peers(ctx, nil, args...); err != nil {
			return nil, err
		}
	}
	const listener = "listener.name.sasl_ssl."
	login := "org.apache.kafka.common.security."
	for _, kv := range []string{
		fmt.Sprintf("listeners=PLAINTEXT://%s,SASL_SSL://%s,CONTROLLER://127.0.0.1:%d", b.Plain, b.SASL, s.base+1),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://%s,SASL_SSL://%s", b.Plain, b.SASL),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
		"ssl.keystore.location=" + s.TLS.KeyPKCS12,
		"ssl.keystore.type=PKCS12",
		"ssl.keystore.password=" + s.TLS.Password,
		"ssl.key.password=" + s.TLS.Password,
		listener + "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER,GSSAPI",
		listener + "plain.sasl.jaas.config=" + login + "plain.PlainLoginModule required user_" + user + "=" + jaasQuote(password) + ";",
		listener + "scram-sha-256.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
		listener + "scram-sha-512.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
		listener + "oauthbearer.sasl.jaas.config=" + login + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
		listener + "gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true" +
			" keyTab=" + jaasQuote(serverKeytab) + ` principal="kafka/localhost@` + realm + `";`,
		listener + "sasl.kerberos.service.name=kafka",
		"auto.create.topics.enable=false", // a topic that a test did not make is a finding
	} {
		b.set = append(b.set, "--set", propertyEscape(kv))
	}
	s.env = append(s.env, "PEERS_KAFKA_JAVA_OPTS="+b.JavaOptions()[0])
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Plain), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("opening an admin client: %w", err)
	}
	b.client, b.admin = cl, kadm.NewClient(cl)
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // Kafka takes a user once in a request
		made, err := b.admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: m, Iterations: 4096, Password: password}})
		if err == nil {
			err = made.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("making a SCRAM user: %w", err)
		}
	}
	return b, nil
}

// propertyEscape keeps a backslash through the broker's properties file.
func propertyEscape(s string) string {
	var out []byte
	for i := range len(s) {
		if s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(out)
}

// jaasQuote quotes a value of a JAAS configuration.
func jaasQuote(s string) string { return strconv.Quote(s) }

// Start starts the broker; it returns when it serves.
func (b *Broker) Start(ctx context.Context) error {
	_, err := b.stage.peers(ctx, nil, append([]string{"kafka", "start"}, b.set...)...)
	return err
}

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill(ctx context.Context) error {
	_, err := b.stage.peers(ctx, nil, "kafka", "kill")
	return err
}

// Client are the options of a franz-go client without TLS.
func (b *Broker) Client(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(b.Plain), kgo.MetadataMinAge(50 * time.Millisecond)}, more...)
}

// Secure are the options of a franz-go client that speaks TLS and the mechanism.
func (b *Broker) Secure(mechanism string, more ...kgo.Opt) ([]kgo.Opt, error) {
	m, err := b.mechanism(mechanism)
	if err != nil {
		return nil, err
	}
	return append([]kgo.Opt{kgo.SeedBrokers(b.SASL), kgo.DialTLSConfig(b.stage.TLS.Client()), kgo.SASL(m)}, more...), nil
}

func (b *Broker) mechanism(name string) (sasl.Mechanism, error) {
	switch name {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		return oauth.Auth{Token: unsecuredToken(time.Now())}.AsMechanism(), nil
	case "GSSAPI":
		conf, err := config.Load(b.krb5Conf)
		if err != nil {
			return nil, fmt.Errorf("reading krb5.conf: %w", err)
		}
		keys, err := keytab.Load(b.keytab)
		if err != nil {
			return nil, fmt.Errorf("reading the keytab: %w", err)
		}
		cl := client.NewWithKeytab(user, realm, keys, conf, client.DisablePAFXFAST(true))
		return kerberos.Auth{Client: cl, Service: "kafka"}.AsMechanism(), nil
	}
	return nil, fmt.Errorf("no such mechanism: %s", name)
}

// Properties are the Java client's settings for the SASL listener, without "bootstrap.servers". GSSAPI needs
// JavaOptions too.
func (b *Broker) Properties(mechanism string) [][2]string {
	const login = "org.apache.kafka.common.security."
	var jaas string
	switch mechanism {
	case "PLAIN":
		jaas = fmt.Sprintf("%splain.PlainLoginModule required username=%s password=%s;", login, jaasQuote(user), jaasQuote(password))
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		jaas = fmt.Sprintf("%sscram.ScramLoginModule required username=%s password=%s;", login, jaasQuote(user), jaasQuote(password))
	case "OAUTHBEARER":
		jaas = login + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="` + user + `";`
	case "GSSAPI":
		jaas = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab=" +
			jaasQuote(b.keytab) + ` principal="` + user + "@" + realm + `";`
	}
	all := [][2]string{
		{"security.protocol", "SASL_SSL"},
		{"sasl.mechanism", mechanism},
		{"sasl.jaas.config", jaas},
		{"ssl.truststore.location", b.stage.TLS.TrustJKS},
		{"ssl.truststore.password", b.stage.TLS.Password},
	}
	if mechanism == "GSSAPI" {
		all = append(all, [2]string{"sasl.kerberos.service.name", "kafka"})
	}
	return all
}

// JavaOptions are the system properties that a Kerberos client needs.
func (b *Broker) JavaOptions() []string { return []string{"-Djava.security.krb5.conf=" + b.krb5Conf} }

// Fresh makes topics that are empty, with so many partitions, whatever was there before.
func (b *Broker) Fresh(t testing.TB, partitions int, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := b.admin.DeleteTopics(ctx, topics...); err != nil {
		t.Fatalf("deleting topics: %v", err)
	}
	for _, topic := range topics {
		Eventually(t, 30*time.Second, "making topic "+topic, func() error {
			_, err := b.admin.CreateTopic(ctx, int32(partitions), 1, map[string]*string{"max.message.bytes": kadm.StringPtr("10485760")}, topic)
			return err
		})
	}
	Eventually(t, 30*time.Second, "leaders of the topics", func() error {
		_, err := b.ends(ctx, topics)
		return err
	})
}

// ends are the end offsets of all partitions of the topics, which must all have a leader.
func (b *Broker) ends(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
	ends, err := b.admin.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error() // of a partition
	}
	if err != nil {
		return nil, fmt.Errorf("listing offsets: %w", err)
	}
	return ends, nil
}

// FreshGroup puts a consumer group to the beginning of topics and throws out members that were killed. So what is
// produced before the group's first member has come is not skipped, as auto.offset.reset = latest would.
func (b *Broker) FreshGroup(t testing.TB, group string, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	Eventually(t, 30*time.Second, "deleting group "+group, func() error {
		described, err := b.admin.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = group
		for _, m := range described[group].Members {
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = m.MemberID
			leave.Members = append(leave.Members, member)
		}
		if len(leave.Members) > 0 {
			if _, err := leave.RequestWith(ctx, b.client); err != nil {
				return err
			}
		}
		_, err = b.admin.DeleteGroup(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		return err
	})
	Eventually(t, 30*time.Second, "setting the group's offsets", func() error {
		ends, err := b.ends(ctx, topics)
		if err != nil {
			return err
		}
		var begin kadm.Offsets
		ends.Each(func(o kadm.ListedOffset) {
			begin.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: 0, LeaderEpoch: -1})
		})
		return b.admin.CommitAllOffsets(ctx, group, begin)
	})
}

// Lag returns how many records of the topics the group has not committed.
func (b *Broker) Lag(ctx context.Context, group string, topics ...string) (int64, error) {
	committed, err := b.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, fmt.Errorf("fetching the group's offsets: %w", err)
	}
	ends, err := b.ends(ctx, topics)
	if err != nil {
		return 0, err
	}
	var lag int64
	ends.Each(func(o kadm.ListedOffset) {
		at, _ := committed.Lookup(o.Topic, o.Partition)
		lag += o.Offset - at.At
	})
	return lag, nil
}

// Members returns how many members the group has, and whether it is stable.
func (b *Broker) Members(ctx context.Context, group string) (int, bool, error) {
	described, err := b.admin.DescribeGroups(ctx, group)
	if err != nil {
		return 0, false, fmt.Errorf("describing the group: %w", err)
	}
	return len(described[group].Members), described[group].State == "Stable", nil
}

// unsecuredToken is a JWT without a signature, which Kafka's unsecured validator takes.
func unsecuredToken(now time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." +
		part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, now.Unix(), now.Add(time.Hour).Unix())) + "."
}
