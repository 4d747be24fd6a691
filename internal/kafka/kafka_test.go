package kafka

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-io/sluice/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings declares one client below kafka.ROLE.
type settings struct {
	role Role
	c    Client
}

func (s *settings) Declare(d *conf.Decl) {
	if s.role == Producer {
		d.String(&s.c.Acks, "kafka.producer.acks", "1", "")
	}
	s.c.Declare(d, s.role, "kafka."+string(s.role)+".")
}

// bind reads properties, given as key, value, key, value, at lines 1, 2, …
func bind(role Role, pairs ...string) (*settings, conf.Problems) {
	return bindWith(role, nil, nil, pairs...)
}

func bindWith(role Role, properties, env map[string]string, pairs ...string) (*settings, conf.Problems) {
	var values conf.Values
	for i := 0; i < len(pairs); i += 2 {
		values = append(values, conf.Value{Key: "kafka." + string(role) + "." + pairs[i], Text: pairs[i+1], Pos: conf.Pos{File: "a.conf", Line: 1 + i/2}})
	}
	sec := conf.NewSection("a1", "sinks", "k1", "a1.sinks.k1.", conf.Pos{File: "a.conf"}, values)
	sec.Property = func(name string) (string, bool) { v, ok := properties[name]; return v, ok }
	sec.Env = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	s := &settings{role: role}
	_, problems := conf.Bind(s, sec)
	return s, problems
}

// options makes the options of a client that is never used.
func (s *settings) options(t *testing.T) *kgo.Client {
	t.Helper()
	opts, err := s.c.c.options(s.c.prefix, s.c.jaas, s.c.krb5)
	if err != nil {
		t.Fatal(err)
	}
	if s.role == Consumer {
		opts = append(opts, kgo.ConsumerGroup("g"))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// Every property can be looked up, says what it does or why nothing, and its default can be read.
func TestTable(t *testing.T) {
	for _, role := range []Role{Consumer, Producer} {
		var names []string
		for _, p := range Properties(role) {
			names = append(names, p.Name)
			switch {
			case p.None == "" && p.Doc == "" || p.None != "" && p.Doc != "":
				t.Errorf("%s: it must say either what it does or why nothing", p.Name)
			case p.None != "" && (p.take != nil || p.Default != ""):
				t.Errorf("%s: it has no effect, and an effect", p.Name)
			case p.None == "" && p.take == nil && !p.Declared:
				t.Errorf("%s: nobody takes it", p.Name)
			}
			if strings.Contains(p.Name, "password") != p.Secret && p.Name != "ssl.keystore.key" && p.Name != "sasl.jaas.config" && !strings.HasSuffix(p.Name, "secret") {
				t.Errorf("%s: is it secret?", p.Name)
			}
		}
		slices.Sort(names)
		if len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("the %s's table has a property twice", role)
		}
		s, problems := bind(role)
		if len(problems) > 0 {
			t.Errorf("no property set: %v", problems)
		}
		s.options(t)
	}
}

// What Java's clients 2.7 and 3.9 know is in the tables.
func TestKnown(t *testing.T) {
	both := `bootstrap.servers client.dns.lookup metadata.max.age.ms send.buffer.bytes receive.buffer.bytes client.id client.rack
		reconnect.backoff.ms reconnect.backoff.max.ms retry.backoff.ms retry.backoff.max.ms metrics.sample.window.ms metrics.num.samples metrics.recording.level
		metric.reporters auto.include.jmx.reporter security.protocol socket.connection.setup.timeout.ms socket.connection.setup.timeout.max.ms
		connections.max.idle.ms request.timeout.ms interceptor.classes security.providers enable.metrics.push metadata.recovery.strategy
		ssl.protocol ssl.provider ssl.cipher.suites ssl.enabled.protocols ssl.keystore.type ssl.keystore.location ssl.keystore.password ssl.key.password
		ssl.keystore.key ssl.keystore.certificate.chain ssl.truststore.certificates ssl.truststore.type ssl.truststore.location ssl.truststore.password
		ssl.keymanager.algorithm ssl.trustmanager.algorithm ssl.endpoint.identification.algorithm ssl.secure.random.implementation ssl.engine.factory.class
		sasl.kerberos.service.name sasl.kerberos.kinit.cmd sasl.kerberos.ticket.renew.window.factor sasl.kerberos.ticket.renew.jitter sasl.kerberos.min.time.before.relogin
		sasl.login.refresh.window.factor sasl.login.refresh.window.jitter sasl.login.refresh.min.period.seconds sasl.login.refresh.buffer.seconds
		sasl.mechanism sasl.jaas.config sasl.client.callback.handler.class sasl.login.callback.handler.class sasl.login.class
		sasl.login.connect.timeout.ms sasl.login.read.timeout.ms sasl.login.retry.backoff.ms sasl.login.retry.backoff.max.ms
		sasl.oauthbearer.scope.claim.name sasl.oauthbearer.sub.claim.name sasl.oauthbearer.token.endpoint.url sasl.oauthbearer.jwks.endpoint.url
		sasl.oauthbearer.clock.skew.seconds sasl.oauthbearer.expected.audience sasl.oauthbearer.expected.issuer sasl.oauthbearer.header.urlencode`
	for role, own := range map[Role]string{
		Consumer: `group.id group.instance.id max.poll.records max.poll.interval.ms session.timeout.ms heartbeat.interval.ms enable.auto.commit auto.commit.interval.ms
			partition.assignment.strategy auto.offset.reset fetch.min.bytes fetch.max.bytes fetch.max.wait.ms max.partition.fetch.bytes check.crcs key.deserializer value.deserializer
			default.api.timeout.ms exclude.internal.topics isolation.level allow.auto.create.topics group.protocol group.remote.assignor`,
		Producer: `buffer.memory retries acks compression.type compression.gzip.level compression.lz4.level compression.zstd.level batch.size partitioner.adaptive.partitioning.enable
			partitioner.availability.timeout.ms partitioner.ignore.keys linger.ms delivery.timeout.ms max.request.size max.block.ms max.in.flight.requests.per.connection
			key.serializer value.serializer metadata.max.idle.ms partitioner.class enable.idempotence transaction.timeout.ms transactional.id`,
	} {
		for _, name := range strings.Fields(both + " " + own) {
			if !slices.ContainsFunc(Properties(role), func(p Property) bool { return p.Name == name }) {
				t.Errorf("the %s's table does not have %s", role, name)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		role  Role
		pairs []string
		want  string // "" nothing; else "error: …" or a warning, in the order of the file
	}{
		{Consumer, []string{"fetch.min.bytes", "x"}, `error: a.conf:1: a1.sinks.k1.kafka.consumer.fetch.min.bytes: "x" is not a number of bytes`},
		{Consumer, []string{"fetch.min.bytes", "-1"}, `error: -1 is less than 0`},
		{Consumer, []string{"client.id", "c", "fetch.max.wait.ms", "1"}, `a.conf:2: a1.sinks.k1.kafka.consumer.fetch.max.wait.ms: 1 is taken as 10 milliseconds`},
		{Consumer, []string{"connections.max.idle.ms", "-1"}, `-1 is taken as 900000 milliseconds`},
		{Consumer, []string{"fetch.max.wait.ms", "1s"}, `error: "1s" is not a number of milliseconds`},
		{Consumer, []string{"auto.offset.reset", "beginning"}, `error: "beginning" is not one of earliest`},
		{Consumer, []string{"auto.offset.reset", "smallest"}, `smallest is earliest`},
		{Consumer, []string{"auto.offset.reset", "by_duration:P1DT2H"}, ``},
		{Consumer, []string{"auto.offset.reset", "by_duration:1h"}, `error: "by_duration:1h" is not`},
		{Consumer, []string{"heartbeat.interval.ms", "20000"}, `error: kafka.consumer.heartbeat.interval.ms: is 20000 and must be less than session.timeout.ms, which is 10000`},
		{Consumer, []string{"session.timeout.ms", "abc"}, `error: session.timeout.ms: "abc" is not a number of milliseconds`},
		{Consumer, []string{"enable.auto.commit", "false"}, ``},
		{Consumer, []string{"enable.auto.commit", "true"}, `enable.auto.commit: has no effect`},
		{Consumer, []string{"enable.auto.commit", "yes"}, `error: "yes" is neither true nor false`},
		{Consumer, []string{"auto.offset.reset", "by_duration:P36500D"}, ``},
		{Consumer, []string{"auto.offset.reset", "by_duration:P36500DT1S"}, `error: 100 years at most`},
		{Consumer, []string{"auto.offset.reset", "by_duration:P999999999D"}, `error: 100 years at most`},
		{Consumer, []string{"auto.offset.reset", "by_duration:PT9999999999H"}, `error: 100 years at most`},
		{Consumer, []string{"max.poll.records", "1"}, `max.poll.records: has no effect: whatever has arrived`},
		{Consumer, []string{"timeout.ms", "100"}, `timeout.ms: has no effect: consumer.timeout.ms was`},
		{Consumer, []string{"bootstrap.servers", "b:1"}, `bootstrap.servers: has no effect: kafka.bootstrap.servers`},
		{Consumer, []string{"sesion.timeout.ms", "1"}, `sesion.timeout.ms: has no effect: it is not a property of Kafka's consumer; did you mean "session.timeout.ms"?`},
		{Consumer, []string{"x", "1"}, `x: has no effect: it is not a property of Kafka's consumer`},
		{Consumer, []string{"isolation.level", "READ_COMMITTED"}, ``},
		{Consumer, []string{"isolation.level", "all"}, `error: "all" is not one of read_uncommitted, read_committed`},
		{Consumer, []string{"partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor, roundrobin"}, ``},
		{Consumer, []string{"partition.assignment.strategy", "com.x.Mine"}, `error: "com.x.Mine" is not one of`},
		{Consumer, []string{"key.deserializer", "org.apache.kafka.common.serialization.LongDeserializer"}, `has no effect: the key's bytes are the value of header "key" unchanged`},
		{Consumer, []string{"value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"}, ``},
		{Consumer, []string{"value.deserializer", "io.confluent.kafka.serializers.KafkaAvroDeserializer"}, `error: needs a JVM`},
		{Consumer, []string{"value.deserializer", "org.apache.kafka.common.serialization.ByteArraySerializer"}, `error: is not a deserializer`},
		{Consumer, []string{"ssl.protocol", "SSLv3"}, `error: "SSLv3" is not one of`},
		{Consumer, []string{"ssl.enabled.protocols", "TLSv1.2,TLSv9"}, `error: "TLSv9" is not one of`},
		{Consumer, []string{"ssl.protocol", "TLSv1.1"}, `error: ssl.enabled.protocols: leaves no protocol below ssl.protocol`},
		{Consumer, []string{"ssl.cipher.suites", "TLS_X"}, `error: names no cipher suite`},
		{Consumer, []string{"ssl.cipher.suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_X"}, `names TLS_X, which Sluice does not have`},
		{Consumer, []string{"ssl.endpoint.identification.algorithm", "HTTPS"}, ``},
		{Consumer, []string{"ssl.endpoint.identification.algorithm", "none"}, `error: "none" is not https; ssl.disableTLSHostnameVerification = true`},
		{Consumer, []string{"security.protocol", "sasl_ssl", "sasl.mechanism", "plain"}, `error: "plain" is not one of PLAIN, SCRAM`},
		{Consumer, []string{"sasl.jaas.config", "x.PlainLoginModule required username=\"u\" password=\"p\";"}, `sasl.jaas.config: has no effect: security.protocol is PLAINTEXT`},
		{Consumer, []string{"security.protocol", "SASL_SSL", "sasl.jaas.config", "hunter2 hunter2"}, `error: sasl.jaas.config: line 1 does not have required, requisite`},
		{Consumer, []string{"security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER", "sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler"}, `error: sasl.oauthbearer.token.endpoint.url: is required`},
		{Consumer, []string{"sasl.login.callback.handler.class", "software.amazon.msk.auth.iam.IAMClientCallbackHandler"}, `error: needs a JVM`},
		{Consumer, []string{"sasl.login.refresh.window.factor", "2"}, `error: "2" is not a number from 0.5 to 1`},
		{Producer, []string{"acks", "2"}, `error: a.conf:1: a1.sinks.k1.kafka.producer.acks: "2" is not one of`},
		{Producer, []string{"enable.idempotence", "true"}, `error: enable.idempotence: needs kafka.producer.acks = all`},
		{Producer, []string{"acks", "every", "enable.idempotence", "true"}, `error: acks: "every" is not one of`},
		{Producer, []string{"acks", "all", "enable.idempotence", "true"}, ``},
		{Producer, []string{"acks", "all", "max.in.flight.requests.per.connection", "1"}, `max.in.flight.requests.per.connection: has no effect: the idempotent`},
		{Producer, []string{"max.in.flight.requests.per.connection", "5"}, `lets records overtake each other`},
		{Producer, []string{"max.in.flight.requests.per.connection", "1"}, ``},
		{Producer, []string{"compression.type", "lz5"}, `error: "lz5" is not one of none, gzip, snappy, lz4, zstd`},
		{Producer, []string{"batch.size", "100"}, `batch.size: has no effect: the events of a delivery`},
		{Producer, []string{"linger.ms", "0"}, ``},
		{Producer, []string{"linger.ms", "5"}, `linger.ms: has no effect: the agent hands over whole transactions`},
		{Producer, []string{"linger.ms", "5ms"}, `error: "5ms" is not`},
		{Producer, []string{"partitioner.class", "com.x.Mine"}, `error: "com.x.Mine" is a Java class that needs a JVM`},
		{Producer, []string{"partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner"}, ``},
		{Producer, []string{"producer.type", "sync"}, `producer.type: has no effect: it is of the producer before Kafka 0.9`},
		{Producer, []string{"retries", "0"}, `retries: 0 gives a record back to the channel`},
		{Producer, []string{"retries", "-1"}, `error: -1 is less than 0`},
		{Producer, []string{"value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer"}, ``},
		{Producer, []string{"value.serializer", "org.apache.kafka.common.serialization.StringSerializer"}, `value.serializer: has no effect: the event's bytes are the value unchanged; Flume fails with this class`},
		{Producer, []string{"key.serializer", "org.apache.kafka.common.serialization.StringSerializer"}, ``},
		{Producer, []string{"buffer.memory", "10"}, `error: 10 is less than 1024`},
		{Producer, []string{"fetch.min.bytes", "1"}, `fetch.min.bytes: has no effect: it is not a property of Kafka's producer`},
	} {
		_, problems := bind(c.role, c.pairs...)
		want, fatal := strings.CutPrefix(c.want, "error: ")
		if c.want == "" {
			if len(problems) > 0 {
				t.Errorf("%q: %v", c.pairs, problems)
			}
			continue
		}
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) || problems.Fatal() != fatal {
			t.Errorf("%q:\ngot  %v\nwant %s", c.pairs, problems, c.want)
		}
		if strings.Contains(problems.String(), "hunter2") {
			t.Errorf("%q: a secret is shown: %v", c.pairs, problems)
		}
	}
}

// A property reaches the client's option.
func TestOptions(t *testing.T) {
	s, problems := bind(Consumer,
		"fetch.min.bytes", "7", "fetch.max.wait.ms", "700", "fetch.max.bytes", "80000000", "max.partition.fetch.bytes", "2000", "session.timeout.ms", "7000",
		"heartbeat.interval.ms", "700", "max.poll.interval.ms", "77000", "group.instance.id", "me", "client.rack", "r", "client.id", "id", "request.timeout.ms", "11000",
		"metadata.max.age.ms", "900", "connections.max.idle.ms", "99000", "isolation.level", "read_committed", "auto.offset.reset", "earliest")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	cl := s.options(t)
	for name, c := range map[string]struct{ got, want any }{
		"fetch.min.bytes":           {cl.OptValue(kgo.FetchMinBytes), int32(7)},
		"fetch.max.wait.ms":         {cl.OptValue(kgo.FetchMaxWait), 700 * time.Millisecond},
		"fetch.max.bytes":           {cl.OptValue(kgo.FetchMaxBytes), int32(80000000)},
		"the largest answer":        {cl.OptValue(kgo.BrokerMaxReadBytes), int32(160000000)},
		"max.partition.fetch.bytes": {cl.OptValue(kgo.FetchMaxPartitionBytes), int32(2000)},
		"session.timeout.ms":        {cl.OptValue(kgo.SessionTimeout), 7 * time.Second},
		"heartbeat.interval.ms":     {cl.OptValue(kgo.HeartbeatInterval), 700 * time.Millisecond},
		"max.poll.interval.ms":      {cl.OptValue(kgo.RebalanceTimeout), 77 * time.Second},
		"group.instance.id":         {cl.OptValue(kgo.InstanceID), "me"},
		"client.rack":               {cl.OptValue(kgo.Rack), "r"},
		"client.id":                 {cl.OptValue(kgo.ClientID), "id"},
		"request.timeout.ms":        {cl.OptValue(kgo.RequestTimeoutOverhead), 11 * time.Second},
		"metadata.max.age.ms":       {cl.OptValue(kgo.MetadataMaxAge), 900 * time.Millisecond},
		"the least age":             {cl.OptValue(kgo.MetadataMinAge), 900 * time.Millisecond},
		"connections.max.idle.ms":   {cl.OptValue(kgo.ConnIdleTimeout), 99 * time.Second},
		"isolation.level":           {cl.OptValue(kgo.FetchIsolationLevel), int8(1)},
		"auto.offset.reset":         {cl.OptValue(kgo.ConsumeStartOffset), kgo.NewOffset().AtStart()},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !s.c.c.committed || s.c.c.atEnd {
		t.Error("isolation.level or auto.offset.reset is not told")
	}

	s, problems = bind(Producer, "acks", "all", "max.request.size", "5000", "retries", "3", "delivery.timeout.ms", "9000", "request.timeout.ms", "2000", "buffer.memory", "70000")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	cl = s.options(t)
	for name, c := range map[string]struct{ got, want any }{
		"acks":               {cl.OptValue(kgo.RequiredAcks), kgo.AllISRAcks()},
		"enable.idempotence": {cl.OptValue(kgo.DisableIdempotentWrite), false},
		"retries":            {cl.OptValue(kgo.RecordRetries), int64(3)},
		"request.timeout.ms": {cl.OptValue(kgo.ProduceRequestTimeout), 2 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if s.c.Largest() != 5000 || s.c.Buffer() != 70000 || s.c.DeliveryTimeout() != 9*time.Second {
		t.Errorf("sizes: %d, %d, %v", s.c.Largest(), s.c.Buffer(), s.c.DeliveryTimeout())
	}
	s, _ = bind(Producer)
	cl = s.options(t)
	if cl.OptValue(kgo.RequiredAcks) != kgo.LeaderAck() || cl.OptValue(kgo.DisableIdempotentWrite) != true || cl.OptValue(kgo.MaxProduceRequestsInflightPerBroker) != 1 {
		t.Error("acks = 1 keeps the order with one request under way")
	}
}

func TestBackoff(t *testing.T) {
	s, _ := bind(Consumer, "retry.backoff.ms", "100", "retry.backoff.max.ms", "800")
	for failures, want := range map[int]time.Duration{0: 100, 1: 100, 2: 200, 4: 800, 5: 800, 1000: 800} {
		want *= time.Millisecond
		if got := s.c.c.wait(failures); got < want*8/10 || got > want*12/10 {
			t.Errorf("after %d failures: %v, want about %v", failures, got, want)
		}
	}
}

func TestBrokers(t *testing.T) {
	for list, want := range map[string]string{
		"b1:9092, b2:19092 ,": "b1:9092 b2:19092", "b": "b:9092", "[::1]:9093": "[::1]:9093", "127.0.0.1:1": "127.0.0.1:1",
		"": "error", " , ": "error", "http://b:1": "error", "b:port": "error", "b:0": "error", ":9092": "error", "b 1:9092": "error", "b:99999": "error",
	} {
		got, err := Brokers("brokers", list)
		if got == nil && err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v; want %q", list, got, err, want)
		}
	}
}

func TestBrokerWithoutPort(t *testing.T) {
	_, err := Brokers("brokers", "127.0.0.1, b:9092, [::1]")
	if want := `"127.0.0.1", "[::1]" without a port: 9092 is taken; Flume refuses that, so give host:port`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Brokers("brokers", "b:9092,c:1"); err != nil {
		t.Error(err)
	}
}

func TestCheckTopic(t *testing.T) {
	for name, ok := range map[string]bool{"test3": true, "a.b_c-D9": true, strings.Repeat("x", 249): true, "": false, ".": false, "..": false, "a b": false, "a/b": false, "ü": false, strings.Repeat("x", 250): false} {
		if err := CheckTopic(name); (err == nil) != ok {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

// The places that Kafka's Java client 2.7 gives these keys among 12 partitions.
func TestPartitioner(t *testing.T) {
	p, _ := partitionerOf("", false)
	topic := p.ForTopic("t")
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107, "": 275646681,
	} {
		r := &kgo.Record{Key: []byte(key)}
		if got, want := topic.Partition(r, 12), int((hash&0x7fffffff)%12); got != want || !topic.RequiresConsistency(r) {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	r := &kgo.Record{Key: []byte("foobar")}
	Fix(r, 7)
	if got := topic.Partition(r, 12); got != 7 || !topic.RequiresConsistency(r) {
		t.Errorf("a fixed record went to %d", got)
	}
	sticky := &kgo.Record{}
	first := topic.Partition(sticky, 12)
	sticky.Partition = int32(first) // as the client does before it asks again
	batches, ok := topic.(kgo.TopicPartitionerOnNewBatch)
	if !ok {
		t.Fatal("it is not told of new batches")
	}
	if topic.Partition(sticky, 12) != first || topic.RequiresConsistency(sticky) {
		t.Error("without a key it does not stay")
	}
	batches.OnNewBatch()
	if topic.Partition(sticky, 12) == first {
		t.Error("a new batch stays in its partition")
	}
	ignoring, _ := partitionerOf("", true)
	if ignoring.ForTopic("t").RequiresConsistency(r) != true || ignoring.ForTopic("t").RequiresConsistency(&kgo.Record{Key: []byte("k")}) {
		t.Error("partitioner.ignore.keys does not ignore them")
	}
	if _, ok := partitionerOf("com.x.Mine", false); ok {
		t.Error("a class of others is taken")
	}
}
