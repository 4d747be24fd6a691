package kit

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// described is what all kinds have in common.
type described struct {
	role, typ, class, summary, absent string
	also                              []string
	unlisted                          bool
	manual                            conf.Manual
}

func kinds[C any](role string, list []flume.Kind[C]) []described {
	out := make([]described, len(list))
	for i, k := range list {
		out[i] = described{role, k.Type, k.Class, k.Summary, k.Absent, k.Also, k.Unlisted, k.Manual()}
	}
	return out
}

func all() []described {
	var out []described
	out = append(out, kinds("source", Standard.Sources)...)
	out = append(out, kinds("interceptor", Standard.Interceptors)...)
	out = append(out, kinds("selector", Standard.Selectors)...)
	out = append(out, kinds("channel", Standard.Channels)...)
	out = append(out, kinds("sink", Standard.Sinks)...)
	out = append(out, kinds("processor", Standard.SinkProcessors)...)
	for _, k := range Standard.ConfigFilters {
		out = append(out, described{role: "filter", typ: k.Type, class: k.Class, summary: k.Summary, absent: k.Absent, manual: k.Manual()})
	}
	return out
}

func TestKinds(t *testing.T) {
	taken := map[string]string{}
	for _, k := range all() {
		name := k.role + " " + k.typ
		if k.typ == "" || k.class == "" && !k.unlisted {
			t.Errorf("%s has no type or no class", name)
		}
		names := []string{strings.ToLower(k.typ)}
		if k.class != "" { // what Flume does not have has none
			names = append(names, k.class)
		}
		for _, n := range append(names, k.also...) {
			if other, ok := taken[k.role+" "+n]; ok {
				t.Errorf("%q names %s and %s", n, name, other)
			}
			taken[k.role+" "+n] = name
		}
		for what, text := range map[string]string{"summary": k.summary, "refusal": k.absent} {
			switch {
			case text == "" && what == "refusal":
			case text == "":
				t.Errorf("%s has no %s", name, what)
			case strings.Contains(text, "\n") || strings.HasPrefix(text, " "):
				t.Errorf("the %s of %s is not a sentence: %q", what, name, text)
			}
		}
		if k.absent != "" && !strings.Contains(k.absent, "; ") && k.role != "filter" {
			t.Errorf("the refusal of %s names no way out: %q", name, k.absent)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, k := range all() {
		name := k.role + " " + k.typ
		taken := map[string]bool{}
		for _, s := range k.manual.Settings {
			for _, key := range append(append([]string{s.Key}, s.Others...), s.Olds...) {
				if key == "" || taken[key] {
					t.Errorf("%s has the setting %q twice", name, key)
				}
				taken[key] = true
			}
			sentence(t, name+"."+s.Key, s.Doc)
		}
		for _, p := range k.manual.Prefixes {
			if !strings.HasSuffix(p.Prefix, ".") {
				t.Errorf("the settings %s of %s do not end with a full stop", p.Prefix, name)
			}
			if p.Doc == "" {
				t.Errorf("%s.%s says nothing", name, p.Prefix)
			}
		}
	}
}

// What the agent reads of a component's section is nobody's setting, neither of a kind nor, by its name, of Flume's.
func TestTheAgentsSettingsAreNobodyElses(t *testing.T) {
	ours := func(key string) bool {
		return key == "deadletter" || strings.HasPrefix(key, "deadletter.") || strings.HasPrefix(key, "retry.")
	}
	for _, family := range []string{"source", "interceptor", "sink"} {
		for _, c := range agent.CommonSettings(family) {
			if !ours(c.Key) {
				t.Errorf("%s of a %s is not looked for", c.Key, family)
			}
			sentence(t, c.Key, c.Doc)
		}
	}
	for _, k := range all() {
		for _, s := range k.manual.Settings {
			for _, key := range append(append([]string{s.Key}, s.Others...), s.Olds...) {
				if ours(key) {
					t.Errorf("%s %s has the setting %s", k.role, k.typ, key)
				}
			}
		}
		for _, p := range k.manual.Prefixes {
			if ours(p.Prefix) || p.Prefix == "" {
				t.Errorf("%s %s has the settings %s*", k.role, k.typ, p.Prefix)
			}
		}
	}
	text, err := os.ReadFile("../docs/reference/flume-properties.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(string(text), -1) {
		if ours(m[1]) {
			t.Errorf("Flume has the property %s", m[1])
		}
	}
}

func sentence(t *testing.T, name, doc string) {
	first := []rune(doc + " ")[0]
	if !unicode.IsUpper(first) && !unicode.IsDigit(first) || !strings.HasSuffix(doc, ".") || strings.Contains(doc, "\n") {
		t.Errorf("%s is not described by a sentence: %q", name, doc)
	}
}

// Every type of Flume's is known by its names, and no name of Flume's means anything else here.
func TestFlumeTypes(t *testing.T) {
	known := map[string]described{}
	for _, k := range all() {
		known[k.role+" "+k.class] = k
	}
	const s, c, k, i = "org.apache.flume.source.", "org.apache.flume.channel.", "org.apache.flume.sink.", "org.apache.flume.interceptor."
	for _, x := range []struct{ role, alias, class string }{
		{"source", "seq", s + "SequenceGeneratorSource"},
		{"source", "netcat", s + "NetcatSource"},
		{"source", "netcatudp", s + "NetcatUdpSource"},
		{"source", "exec", s + "ExecSource"},
		{"source", "avro", s + "AvroSource"},
		{"source", "thrift", s + "ThriftSource"},
		{"source", "syslogtcp", s + "SyslogTcpSource"},
		{"source", "multiport_syslogtcp", s + "MultiportSyslogTCPSource"},
		{"source", "syslogudp", s + "SyslogUDPSource"},
		{"source", "spooldir", s + "SpoolDirectorySource"},
		{"source", "http", s + "http.HTTPSource"},
		{"source", "jms", s + "jms.JMSSource"},
		{"source", "taildir", s + "taildir.TaildirSource"},
		{"source", "", s + "kafka.KafkaSource"},
		{"source", "", s + "StressSource"},
		{"source", "", s + "scribe.ScribeSource"},
		{"source", "", s + "twitter.TwitterSource"},
		{"source", "", s + "avroLegacy.AvroLegacySource"},
		{"source", "", s + "thriftLegacy.ThriftLegacySource"},
		{"sink", "null", k + "NullSink"},
		{"sink", "logger", k + "LoggerSink"},
		{"sink", "file_roll", k + "RollingFileSink"},
		{"sink", "hdfs", k + "hdfs.HDFSEventSink"},
		{"sink", "irc", k + "irc.IRCSink"},
		{"sink", "avro", k + "AvroSink"},
		{"sink", "thrift", k + "ThriftSink"},
		{"sink", "", k + "kafka.KafkaSink"},
		{"sink", "hbase", k + "hbase.HBaseSink"},
		{"sink", "asynchbase", k + "hbase.AsyncHBaseSink"},
		{"sink", "hbase2", k + "hbase2.HBase2Sink"},
		{"sink", "morphline_solr", k + "solr.morphline.MorphlineSolrSink"},
		{"sink", "hive", k + "hive.HiveSink"},
		{"sink", "http", k + "http.HttpSink"},
		{"sink", "elasticsearch", k + "elasticsearch.ElasticSearchSink"},
		{"sink", "", k + "solr.morphline.MorphlineSink"},
		{"sink", "", k + "kudu.KuduSink"},
		{"sink", "", k + "kite.DatasetSink"},
		{"channel", "memory", c + "MemoryChannel"},
		{"channel", "file", c + "file.FileChannel"},
		{"channel", "jdbc", c + "jdbc.JdbcChannel"},
		{"channel", "spillablememory", c + "SpillableMemoryChannel"},
		{"channel", "", c + "kafka.KafkaChannel"},
		{"channel", "", c + "PseudoTxnMemoryChannel"},
		{"selector", "replicating", c + "ReplicatingChannelSelector"},
		{"selector", "multiplexing", c + "MultiplexingChannelSelector"},
		{"selector", "load_balancing", c + "LoadBalancingChannelSelector"},
		{"processor", "default", k + "DefaultSinkProcessor"},
		{"processor", "failover", k + "FailoverSinkProcessor"},
		{"processor", "load_balance", k + "LoadBalancingSinkProcessor"},
		{"interceptor", "timestamp", i + "TimestampInterceptor$Builder"},
		{"interceptor", "host", i + "HostInterceptor$Builder"},
		{"interceptor", "static", i + "StaticInterceptor$Builder"},
		{"interceptor", "regex_filter", i + "RegexFilteringInterceptor$Builder"},
		{"interceptor", "regex_extractor", i + "RegexExtractorInterceptor$Builder"},
		{"interceptor", "remove_header", i + "RemoveHeaderInterceptor$Builder"},
		{"interceptor", "search_replace", i + "SearchAndReplaceInterceptor$Builder"},
		{"interceptor", "", k + "solr.morphline.UUIDInterceptor$Builder"},
		{"interceptor", "", k + "solr.morphline.MorphlineInterceptor$Builder"},
		{"filter", "env", "org.apache.flume.configfilter.EnvironmentVariableConfigFilter"},
		{"filter", "external", "org.apache.flume.configfilter.ExternalProcessConfigFilter"},
		{"filter", "hadoop", "org.apache.flume.configfilter.HadoopCredentialStoreConfigFilter"},
	} {
		kind, ok := known[x.role+" "+x.class]
		switch {
		case !ok:
			t.Errorf("the %s %s is not known", x.role, x.class)
		case x.alias != "" && (kind.typ != x.alias || kind.unlisted):
			t.Errorf("the %s %s is called %s instead of %s", x.role, x.class, kind.typ, x.alias)
		case x.alias == "" && !kind.unlisted:
			t.Errorf("%s is said to be Flume's alias of %s, which has none", kind.typ, x.class)
		}
	}
}
