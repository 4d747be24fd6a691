package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// testSettings are declared by a function.
type testSettings struct{ declare func(d *Decl) }

func (s *testSettings) Declare(d *Decl) { s.declare(d) }

// sink makes a section a1.sinks.k1 of lines, line n of f being line n.
func sink(t *testing.T, lines ...string) *Section {
	t.Helper()
	for i, line := range lines {
		lines[i] = "a1.sinks.k1." + line
	}
	c, _, err := Parse("f", []byte(strings.Join(append(lines, "a1.sinks = k1", "a1.sinks.k1.type = test"), "\n")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sec := c.Agent("a1").Sinks[0]
	sec.Get("type")
	return sec
}

// bind returns the problems of what declare says of the lines.
func bind(t *testing.T, declare func(d *Decl), lines ...string) Problems {
	t.Helper()
	_, problems := Bind(&testSettings{declare}, sink(t, lines...))
	return problems
}

type color string

func TestGetters(t *testing.T) {
	var (
		text     string
		list     []string
		truth    bool
		number   int
		long     int64
		duration time.Duration
		word     color
	)
	declare := map[string]func(d *Decl){
		"string": func(d *Decl) { d.String(&text, "x", "dflt", "doc") },
		"list":   func(d *Decl) { d.Strings(&list, "x", "a b", "doc") },
		"bool":   func(d *Decl) { d.Bool(&truth, "x", true, "doc") },
		"int":    func(d *Decl) { d.Int(&number, "x", 7, "doc") },
		"long":   func(d *Decl) { d.Int64(&long, "x", 7, "doc") },
		"sec":    func(d *Decl) { d.Seconds(&duration, "x", 7*time.Second, "doc") },
		"milli":  func(d *Decl) { d.Millis(&duration, "x", 7*time.Millisecond, "doc") },
		"choice": func(d *Decl) { Choice(d, &word, "x", "Red", "doc", "Red", "Green") },
	}
	got := map[string]func() any{
		"string": func() any { return text }, "list": func() any { return strings.Join(list, "|") }, "bool": func() any { return truth },
		"int": func() any { return number }, "long": func() any { return long }, "sec": func() any { return duration },
		"milli": func() any { return duration }, "choice": func() any { return word },
	}
	for _, c := range []struct {
		kind, line string
		want       any
		problem    string
	}{
		{"string", "", "dflt", ""}, {"string", "x = a b ", "a b", ""}, {"string", `x = \t a \t`, "a", ""},
		{"string", "x =", "dflt", "warning: is empty: as if it were not set, so it is dflt"},
		{"list", "", "a|b", ""}, {"list", "x = c  d\\te", "c|d|e", ""},
		{"bool", "", true, ""}, {"bool", "x = TRUE", true, ""}, {"bool", "x = False", false, ""},
		{"bool", "x = yes", false, `warning: "yes" is neither true nor false; it is taken as false`},
		{"bool", "x = 1", false, `warning: "1" is neither true nor false; it is taken as false`},
		{"int", "", 7, ""}, {"int", "x = 42", 42, ""}, {"int", "x = +42", 42, ""}, {"int", "x = -42", -42, ""}, {"int", "x = 007", 7, ""},
		{"int", "x = 2147483647", 2147483647, ""}, {"int", "x = -2147483648", -2147483648, ""},
		{"int", "x = 2147483648", 7, `error: "2147483648" is beyond the range of this setting`},
		{"int", "x = 1_000", 7, `error: "1_000" is not a number`}, {"int", "x = 1,000", 7, `error: "1,000" is not a number`},
		{"int", "x = 0x10", 7, `error: "0x10" is not a number`}, {"int", "x = 10L", 7, `error: "10L" is not a number`},
		{"int", "x = 1e3", 7, `error: "1e3" is not a number`}, {"int", "x = 1.0", 7, `error: "1.0" is not a number`},
		{"int", "x = -", 7, `error: "-" is not a number`}, {"int", "x = 1 # one", 7, `error: "1 # one" is not a number`},
		{"long", "", int64(7), ""}, {"long", "x = 9223372036854775807", int64(9223372036854775807), ""},
		{"long", "x = 9223372036854775808", int64(7), `error: "9223372036854775808" is beyond the range of this setting`},
		{"sec", "", 7 * time.Second, ""}, {"sec", "x = 0", time.Duration(0), ""}, {"sec", "x = -1", -time.Second, ""},
		{"sec", "x = five", 7 * time.Second, `error: "five" is not a number of seconds`},
		{"sec", "x = 9223372037", 7 * time.Second, `error: "9223372037" is beyond the range of this setting`},
		{"milli", "x = 3000", 3 * time.Second, ""}, {"milli", "x = 3s", 7 * time.Millisecond, `error: "3s" is not a number of milliseconds`},
		{"choice", "", color("Red"), ""}, {"choice", "x = GREEN", color("Green"), ""},
		{"choice", "x = blue", color("Red"), `error: "blue" is not one of Red, Green`},
	} {
		var lines []string
		if c.line != "" {
			lines = []string{c.line}
		}
		problems := bind(t, declare[c.kind], lines...)
		said := ""
		for _, p := range problems {
			if p.Subject != "a1.sinks.k1.x" || p.Pos.String() != "f:1" {
				t.Errorf("%s %q: at %s %s", c.kind, c.line, p.Pos, p.Subject)
			}
			said += p.Severity.String() + ": " + p.Text
		}
		if v := got[c.kind](); v != c.want || said != c.problem {
			t.Errorf("%s %q: %v, %s; want %v, %s", c.kind, c.line, v, said, c.want, c.problem)
		}
	}
}

// TestDeclarations: what can be said of a setting beside its type.
func TestDeclarations(t *testing.T) {
	var a, b int
	var s string
	var rest, more Values
	hundred := errors.New("a + b is 100")
	for _, c := range []struct {
		name    string
		declare func(d *Decl)
		lines   []string
		want    []string
		value   string
	}{
		{"required", func(d *Decl) { d.String(&s, "topic", "", "The topic.").Required() }, nil,
			[]string{"f:1 error a1.sinks.k1.topic: is required and not set: The topic."}, ""},
		{"required and empty", func(d *Decl) { d.String(&s, "topic", "", "The topic.").Required() }, []string{"topic ="},
			[]string{"f:1 error a1.sinks.k1.topic: is empty and required: The topic."}, ""},
		{"empty as by default", func(d *Decl) { d.String(&s, "topic", "", "The topic.") }, []string{"topic ="}, nil, ""},
		{"old name", func(d *Decl) { d.String(&s, "topic", "", "x").Required().Old("kafka.topic", "tpc") }, []string{"tpc = t"},
			[]string{`f:1 warning a1.sinks.k1.tpc: is an old name of "topic"`}, "t"},
		{"old name, and the new one", func(d *Decl) { d.String(&s, "topic", "", "x").Old("tpc") }, []string{"tpc = old", "topic = t"},
			[]string{`f:1 warning a1.sinks.k1.tpc: is an old name of "topic"; "topic" is set too and wins`}, "t"},
		{"other name", func(d *Decl) { d.String(&s, "topic", "", "x").Required().Also("tpc") }, []string{"tpc = t"},
			[]string{`f:1 warning a1.sinks.k1.tpc: is taken as "topic"; Flume ignores it`}, "t"},
		{"other name, and its own", func(d *Decl) { d.String(&s, "topic", "", "x").Also("tpc").Old("o") }, []string{"tpc = u", "topic = t", "o = v"},
			[]string{
				`f:1 warning a1.sinks.k1.tpc: is another name of "topic"; "topic" is set too and wins`,
				`f:3 warning a1.sinks.k1.o: is an old name of "topic"; "topic" is set too and wins`,
			}, "t"},
		{"other name that cannot be read", func(d *Decl) { d.Int(&a, "n", 1, "x").Also("m") }, []string{"m = x"},
			[]string{
				`f:1 warning a1.sinks.k1.m: is taken as "n"; Flume ignores it`,
				`f:1 error a1.sinks.k1.m: "x" is not a number`,
			}, "t"},
		{"nearly an old name", func(d *Decl) { d.Int(&a, "flumeBatchSize", 100, "x").Old("batchSize") }, []string{"batch-size = 1"},
			[]string{`f:1 warning a1.sinks.k1.batch-size: is not a setting; did you mean "flumeBatchSize"? (which is 100 as long as it is not set)`}, "t"},
		{"bounds", func(d *Decl) {
			d.Int(&a, "a", 1, "x").AtLeast(1).AtMost(5)
			d.Int(&b, "b", 1, "x").AtLeast(1).AtMost(5)
		},
			[]string{"a = 0", "b = 6"}, []string{
				"f:1 error a1.sinks.k1.a: 0 is less than 1, the least it may be",
				"f:2 error a1.sinks.k1.b: 6 is more than 5, the most it may be",
			}, "t"},
		{"bounds of what can be read", func(d *Decl) { d.Int(&a, "a", 1, "x"); d.Int(&b, "b", 1, "x").AtLeast(1) },
			[]string{"a = x", "b = 0"}, []string{
				`f:1 error a1.sinks.k1.a: "x" is not a number`,
				"f:2 error a1.sinks.k1.b: 0 is less than 1, the least it may be",
			}, "t"},
		{"lenient", func(d *Decl) {
			d.Int(&a, "a", 3, "x").AtLeast(1).Lenient()
			d.Int(&b, "b", 4, "x").AtLeast(1).Lenient()
		},
			[]string{"a = x", "b = -5"}, []string{
				`f:1 warning a1.sinks.k1.a: "x" is not a number; the default 3 is taken`,
				"f:2 warning a1.sinks.k1.b: -5 is less than 1, the least it may be; the default 4 is taken",
			}, "t"},
		{"secret", func(d *Decl) { d.Int(&a, "pin", 1, "x").Secret(); d.Int(&a, "userPassword", 1, "x") }, []string{"pin = 1x", "userPassword = 2x"},
			[]string{
				"f:1 error a1.sinks.k1.pin: the value is not a number",
				"f:2 error a1.sinks.k1.userPassword: the value is not a number",
			}, "t"},
		{"check", func(d *Decl) {
			d.Int(&a, "a", 1, "x")
			d.Int(&b, "b", 1, "x")
			d.Check(func() error {
				return errors.Join(hundred, At("a", hundred), Warn("b", hundred), nil, Warn("b", errors.Join(hundred, hundred)), At("b", errors.Join(hundred)), fmt.Errorf("sum: %w", Warn("a", hundred)))
			})
		}, []string{"a = 99"}, []string{
			"f:2 error a1.sinks.k1: a + b is 100",
			"f:1 error a1.sinks.k1.a: a + b is 100",
			"f:2 warning a1.sinks.k1.b: a + b is 100",
			"f:2 error a1.sinks.k1.b: a + b is 100",
			"f:1 warning a1.sinks.k1.a: sum: a + b is 100",
		}, "t"},
		{"advice", func(d *Decl) {
			d.Int(&a, "a", 1, "x")
			d.Check(func() error { return Advise("a", hundred) })
		}, []string{"a = 99"}, []string{"f:1 note a1.sinks.k1.a: a + b is 100"}, "t"},
		{"check, when something cannot be read", func(d *Decl) { d.Int(&a, "a", 1, "x"); d.Check(func() error { return hundred }) },
			[]string{"a = x"}, []string{`f:1 error a1.sinks.k1.a: "x" is not a number`}, "t"},
		{"under", func(d *Decl) {
			d.Under("ssl.", &testSettings{func(d *Decl) { d.String(&s, "file", "", "x"); d.Rest(&rest, "p.", "x") }})
			d.String(new(string), "file", "", "x")
		}, []string{"ssl.file = t", "ssl.p.q = r"}, nil, "t"},
		{"rest", func(d *Decl) {
			d.Rest(&rest, "p.", "x")
			d.String(&s, "p.known", "", "x")
			d.Rest(&more, "q.", "x")
		}, []string{"p.known = t", "p.a.b = c", "q.a =", "p. = x"}, []string{
			"f:3 warning a1.sinks.k1.q.a: is empty: as if it were not set",
			`f:4 warning a1.sinks.k1.p: is not a setting`,
		}, "t"},
		{"unknown", func(d *Decl) {}, []string{"a = b"}, []string{"f:1 warning a1.sinks.k1.a: is not a setting"}, "t"},
		{"unknown and empty", func(d *Decl) { d.Int(&a, "port", 1, "x") }, []string{"prot ="},
			[]string{`f:1 warning a1.sinks.k1.prot: is not a setting; did you mean "port"? (which is 1 as long as it is not set)`}, "t"},
		{"found under another name", func(d *Decl) {
			d.Int(&a, "port", 1, "x").Also("prt")
			d.Int(&a, "size", 1, "x").Old("sz").Bound(func() error { return Warn("size", errors.New("is odd")) })
			d.Int(&a, "none", 1, "x").Old("nothing")
			d.Check(func() error {
				return errors.Join(At("port", errors.New("is bad")), At("none", errors.New("is missing")))
			})
		}, []string{"prt = 2", "sz = 3"}, []string{
			`f:1 warning a1.sinks.k1.prt: is taken as "port"; Flume ignores it`,
			`f:2 warning a1.sinks.k1.sz: is an old name of "size"`,
			"f:2 warning a1.sinks.k1.sz: is odd",
			"f:1 error a1.sinks.k1.prt: is bad",
			"f:3 error a1.sinks.k1.none: is missing",
		}, "t"},
		{"no value", func(d *Decl) { d.Int(&a, "a", 1, "x").AtLeast(5).Required() }, []string{"a = ${env:NO}", "b = ${env:NO}"}, []string{
			"f:1 error a1.sinks.k1.a: the environment variable NO is not set; set it, or give a default: ${env:NO:-value}",
			"f:2 error a1.sinks.k1.b: the environment variable NO is not set; set it, or give a default: ${env:NO:-value}",
		}, "t"},
	} {
		problems := bind(t, c.declare, c.lines...)
		problems = slices.DeleteFunc(problems, func(p Problem) bool {
			return p.Severity == Warning && strings.Contains(p.Text, "is not a setting") && strings.HasSuffix(p.Subject, ".b")
		})
		var said []string
		for _, p := range problems {
			if line := fmt.Sprintf("%s %s %s: %s", p.Pos, p.Severity, p.Subject, p.Text); !slices.Contains(said, line) {
				said = append(said, line)
			}
		}
		if !slices.Equal(said, c.want) || s != c.value && c.value != "" && len(c.want) == 0 {
			t.Errorf("%s: s = %q\ngot  %s\nwant %s", c.name, s, strings.Join(said, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
	if v, _ := rest.Get("a.b"); v.Text != "c" || len(rest) != 1 || len(more) != 0 {
		t.Errorf("rest %v, more %v", rest, more)
	}
}

// TestFrom: what holds where no key is set.
func TestFrom(t *testing.T) {
	for _, c := range []struct {
		property, env, line string
		want                string
		problem             string
	}{
		{"p", "e", "file = f", "f", ""},
		{"p", "e", "", "p", ""},
		{"", "e", "", "e", ""},
		{"", "", "", "dflt", ""},
	} {
		var lines []string
		if c.line != "" {
			lines = append(lines, c.line)
		}
		sec := sink(t, lines...)
		sec.Property, sec.Env = func(string) (string, bool) { return c.property, c.property != "" }, func(string) (string, bool) { return c.env, c.env != "" }
		var s string
		if _, problems := Bind(&testSettings{func(d *Decl) { d.String(&s, "file", "dflt", "x").From("a.b", "A_B") }}, sec); len(problems) > 0 || s != c.want {
			t.Errorf("%+v: %q, %s", c, s, problems)
		}
	}
	sec := sink(t)
	sec.Env = from(map[string]string{"N": "x"})
	var n int
	_, problems := Bind(&testSettings{func(d *Decl) { d.Int(&n, "n", 1, "x").From("n", "N") }}, sec)
	if len(problems) != 1 || problems[0].Text != `"x" (the environment variable N) is not a number` {
		t.Errorf("%s", problems)
	}
	var found string
	sec.Property = from(map[string]string{"user.home": "/h"})
	Bind(&testSettings{func(d *Decl) { found, _ = d.Property("user.home") }}, sec)
	if found != "/h" {
		t.Errorf("user.home is %q", found)
	}
}

func TestLimits(t *testing.T) {
	var n, m int
	limits, _ := Bind(&testSettings{func(d *Decl) {
		d.BatchSize(&n, "batchSize", 100, "x").Old("batch")
		d.TransactionCapacity(&m, "transactionCapacity", 10, "x")
	}}, sink(t, "batch = 20"))
	if limits != (Limits{BatchSize: 20, BatchSizeKey: "batch", TransactionCapacity: 10}) {
		t.Errorf("%+v", limits)
	}
}

func TestDescribe(t *testing.T) {
	m := Describe(&testSettings{func(d *Decl) {
		d.Int(new(int), "port", 41414, "The port.")
		d.Rest(new(Values), "kafka.producer.", "Passed on.")
	}})
	if len(m.Settings) != 1 || m.Settings[0].Key != "port" || m.Settings[0].Default != "41414" || len(m.Prefixes) != 1 || m.Prefixes[0].Prefix != "kafka.producer." {
		t.Errorf("%+v", m)
	}
}

// TestSub: the keys of an interceptor are its own section's, and nobody else's.
func TestSub(t *testing.T) {
	c, _, err := Parse("f", []byte("a1.sources = r1\na1.sources.r1.type = x\na1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = static\n"+
		"a1.sources.r1.interceptors.i1.kye = k\na1.sources.r1.interceptors.i1.value =\na1.sources.r1.interceptors.i2.type = host"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r1 := c.Agent("a1").Sources[0]
	for _, key := range []string{"type", "interceptors"} {
		r1.Get(key)
	}
	i1 := r1.Sub("interceptors.i1.", "i1")
	i1.Get("type")
	_, problems := Bind(&testSettings{func(d *Decl) {
		d.String(new(string), "key", "key", "x")
		d.String(new(string), "value", "value", "x")
	}}, i1)
	_, outer := Bind(&testSettings{func(*Decl) {}}, r1)
	want := `f:6: a1.sources.r1.interceptors.i1.value: is empty: as if it were not set, so it is value
f:5: a1.sources.r1.interceptors.i1.kye: is not a setting; did you mean "key"? (which is key as long as it is not set)
f:7: a1.sources.r1.interceptors.i2.type: is not a setting
`
	if got := append(problems, outer...).String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

// TestSuggestions: misspellings seen in users' files, against the settings of Flume's components.
func TestSuggestions(t *testing.T) {
	memory := "capacity transactionCapacity keep-alive byteCapacityBufferPercentage byteCapacity"
	file := "checkpointDir useDualCheckpoints backupCheckpointDir dataDirs transactionCapacity checkpointInterval maxFileSize minimumRequiredSpace capacity keep-alive use-log-replay-v1 use-fast-replay checkpointOnClose encryption.activeKey encryption.cipherProvider encryption.keyProvider encryption.keyProvider.keyStoreFile"
	hdfs := "hdfs.path hdfs.filePrefix hdfs.fileSuffix hdfs.inUsePrefix hdfs.inUseSuffix hdfs.rollInterval hdfs.rollSize hdfs.rollCount hdfs.idleTimeout hdfs.batchSize hdfs.codeC hdfs.fileType hdfs.maxOpenFiles hdfs.minBlockReplicas hdfs.writeFormat hdfs.threadsPoolSize hdfs.rollTimerPoolSize hdfs.kerberosPrincipal hdfs.proxyUser hdfs.round hdfs.roundValue hdfs.roundUnit hdfs.timeZone hdfs.useLocalTimeStamp hdfs.closeTries hdfs.retryInterval hdfs.callTimeout serializer"
	kafkaSource := "kafka.bootstrap.servers kafka.topics kafka.topics.regex kafka.consumer.group.id batchSize batchDurationMillis backoffSleepIncrement maxBackoffSleep useFlumeEventFormat setTopicHeader topicHeader kafka.consumer.*"
	kafkaChannel := "kafka.bootstrap.servers kafka.topic kafka.consumer.group.id parseAsFlumeEvent pollTimeout defaultPartitionId partitionIdHeader kafka.producer.* kafka.consumer.*"
	kafkaSink := "kafka.bootstrap.servers kafka.topic flumeBatchSize kafka.producer.acks useFlumeEventFormat defaultPartitionId partitionIdHeader allowTopicOverride topicHeader kafka.producer.*"
	fileRoll := "sink.directory sink.pathManager sink.pathManager.extension sink.rollInterval sink.serializer sink.batchSize"
	avroSink := "hostname port batch-size connect-timeout request-timeout reset-connection-interval compression-type compression-level ssl trust-all-certs truststore maxIoWorkers"
	syslog := "host port eventSize keepFields clientIPHeader clientHostnameHeader ssl keystore"
	for _, c := range []struct{ settings, key, want string }{
		{memory, "transactionCapactiy", "transactionCapacity"}, {memory, "transactioncapacity", "transactionCapacity"},
		{memory, "capcity", "capacity"}, {memory, "keepAlive", "keep-alive"}, {memory, "keep_alive", "keep-alive"},
		{memory, "byteCapactiyBufferPercentage", "byteCapacityBufferPercentage"},
		{memory, "topic", ""}, {memory, "threads", ""}, {memory, "brokerList", ""}, {memory, "zookeeperConnect", ""}, {memory, "write-timeout", ""},
		{memory, "typ", "type"},
		{file, "checkpontDir", "checkpointDir"}, {file, "checkPointDir", "checkpointDir"}, {file, "dataDir", "dataDirs"}, {file, "keepAlive", "keep-alive"},
		{file, "write-timeout", ""}, {file, "backupCheckpointDirs", "backupCheckpointDir"}, {file, "encryption.keyprovider.keystorefile", "encryption.keyProvider.keyStoreFile"},
		{hdfs, "hdfs.batchsize", "hdfs.batchSize"}, {hdfs, "batchSize", "hdfs.batchSize"}, {hdfs, "rollInterval", "hdfs.rollInterval"},
		{hdfs, "sink.rollInterval", "hdfs.rollInterval"}, {hdfs, "hdfs.writeformat", "hdfs.writeFormat"}, {hdfs, "hdfs.fileNamePrefix", "hdfs.filePrefix"},
		{hdfs, "hdfs.serializer", "serializer"}, {hdfs, "hdfs.pth", "hdfs.path"}, {hdfs, "hdfs.rollintervall", "hdfs.rollInterval"}, {hdfs, "filePrefix", "hdfs.filePrefix"},
		{hdfs, "rollsize", "hdfs.rollSize"}, {hdfs, "hfds.path", "hdfs.path"}, {hdfs, "chanel", "channel"}, {hdfs, "hdfs.txnEventMax", ""}, {hdfs, "channels", "channel"},
		{kafkaSource, "kafka.group.id", "kafka.consumer.group.id"}, {kafkaSource, "group.id", "kafka.consumer.group.id"},
		{kafkaSource, "kafka.batchSize", "batchSize"}, {kafkaSource, "kafka.auto.offset.reset", "kafka.consumer.auto.offset.reset"},
		{kafkaSource, "kafka.consumr.auto.offset.reset", "kafka.consumer.auto.offset.reset"},
		{kafkaSource, "bootstrap.servers", "kafka.bootstrap.servers"}, {kafkaSource, "batchDurationMills", "batchDurationMillis"}, {kafkaSource, "kafka.topic", "kafka.topics"},
		{kafkaChannel, "bootstrap.servers", "kafka.bootstrap.servers"}, {kafkaChannel, "capacity", ""}, {kafkaChannel, "transactionCapacity", ""}, {kafkaChannel, "generateKeytabFor", ""},
		{kafkaChannel, "kafka.auto.offset.reset", `kafka.producer.auto.offset.reset" or "kafka.consumer.auto.offset.reset`},
		{kafkaSink, "kafka.sendErrorFile", ""}, {kafkaSink, "useAvroEventFormat", ""}, {kafkaSink, "countMonitorInterval", ""}, {kafkaSink, "serializer", ""}, {kafkaSink, "kafka.acks", "kafka.producer.acks"},
		{fileRoll, "rollInterval", "sink.rollInterval"}, {fileRoll, "hdfs.path", ""}, {fileRoll, "batchSize", "sink.batchSize"}, {fileRoll, "sink.dir", ""},
		{avroSink, "batchSize", "batch-size"}, {avroSink, "hostName", "hostname"}, {avroSink, "requestTimeout", "request-timeout"}, {avroSink, "host", ""},
		{syslog, "bind", ""}, {syslog, "prot", "port"}, {syslog, "eventsize", "eventSize"}, {syslog, "post", "port"}, {syslog, "user", ""},
	} {
		got := bind(t, func(d *Decl) {
			for _, key := range strings.Fields(c.settings) {
				if prefix, ok := strings.CutSuffix(key, "*"); ok {
					d.Rest(new(Values), prefix, "x")
					continue
				}
				d.String(new(string), key, "", "x")
			}
		}, c.key+" = x")
		want := "is not a setting"
		if c.want != "" {
			want += fmt.Sprintf(`; did you mean "%s"?`, c.want)
		}
		if len(got) != 1 || got[0].Text != want {
			t.Errorf("%s: %swant %s", c.key, got, want)
		}
	}
}

func TestSourceSuggestions(t *testing.T) {
	c, _, err := Parse("f", []byte("a1.sources = r1\na1.sources.r1.type = x\na1.sources.r1.channel = c1\na1.sources.r1.intercepts.i1.type = x\na1.sources.r1.interceptor = i1\n"+
		"a1.sources.r1.selctor.type = x\na1.sources.r1.chanels = x"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, problems := Bind(&testSettings{func(*Decl) {}}, c.Agent("a1").Sources[0])
	want := `f:2: a1.sources.r1.type: is not a setting
f:3: a1.sources.r1.channel: is not a setting; did you mean "channels"?
f:4: a1.sources.r1.intercepts.i1.type: is not a setting; did you mean "interceptors.i1.type"?
f:5: a1.sources.r1.interceptor: is not a setting; did you mean "interceptors"?
f:6: a1.sources.r1.selctor.type: is not a setting; did you mean "selector.type"?
f:7: a1.sources.r1.chanels: is not a setting; did you mean "channels"?
`
	if got := problems.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"memory", "file", "k1", "agent", "org.apache.flume.sink.kafka.KafkaSink", "collector", "node1"}
	for word, want := range map[string]string{
		"memroy": "memory", "Memory": "memory", "FILE": "file", "k2": "", "kl": "k1", "agnet": "agent", "collector1": "collector", "nodes": "node1",
		"org.apache.flume.sink.kafka.KafkaSnk": "org.apache.flume.sink.kafka.KafkaSink", "kafka": "", "": "", "x": "", "com.x.KafkaSink": "", "jdbc": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
