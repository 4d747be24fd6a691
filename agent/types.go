package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// A role is what a type is a type of.
type role string

const (
	sourceRole      role = "source"
	interceptorRole role = "interceptor"
	selectorRole    role = "channel selector"
	channelRole     role = "channel"
	sinkRole        role = "sink"
	processorRole   role = "sink processor"
)

// A fate is why a type of Flume's is not in a kit.
type fate int

const (
	notYet  fate = iota // Sluice does not have it so far
	java                // it lives on Java libraries that no Go program has
	removed             // Flume 1.10 took it out
)

// A flumeType is a type of Flume's.
type flumeType struct {
	alias, class string
	fate         fate
}

// theirs are the types of Flume that a kit may lack. What a kit has is never looked up here.
func theirs(r role) []flumeType {
	type list = []flumeType
	const s, k, c, i = "org.apache.flume.source.", "org.apache.flume.sink.", "org.apache.flume.channel.", "org.apache.flume.interceptor."
	switch r {
	case sourceRole:
		return list{
			{"seq", s + "SequenceGeneratorSource", notYet},
			{"netcat", s + "NetcatSource", notYet},
			{"netcatudp", s + "NetcatUdpSource", notYet},
			{"exec", s + "ExecSource", notYet},
			{"avro", s + "AvroSource", notYet},
			{"thrift", s + "ThriftSource", notYet},
			{"syslogtcp", s + "SyslogTcpSource", notYet},
			{"multiport_syslogtcp", s + "MultiportSyslogTCPSource", notYet},
			{"syslogudp", s + "SyslogUDPSource", notYet},
			{"spooldir", s + "SpoolDirectorySource", notYet},
			{"http", s + "http.HTTPSource", notYet},
			{"jms", s + "jms.JMSSource", java},
			{"taildir", s + "taildir.TaildirSource", notYet},
			{"", s + "kafka.KafkaSource", notYet},
			{"", s + "StressSource", notYet},
			{"", s + "scribe.ScribeSource", notYet},
			{"", s + "twitter.TwitterSource", java},
			{"", s + "avroLegacy.AvroLegacySource", java},
			{"", s + "thriftLegacy.ThriftLegacySource", java},
		}
	case sinkRole:
		return list{
			{"null", k + "NullSink", notYet},
			{"logger", k + "LoggerSink", notYet},
			{"file_roll", k + "RollingFileSink", notYet},
			{"hdfs", k + "hdfs.HDFSEventSink", notYet},
			{"irc", k + "irc.IRCSink", notYet},
			{"avro", k + "AvroSink", notYet},
			{"thrift", k + "ThriftSink", notYet},
			{"http", k + "http.HttpSink", notYet},
			{"", k + "kafka.KafkaSink", notYet},
			{"hbase", k + "hbase.HBaseSink", java},
			{"asynchbase", k + "hbase.AsyncHBaseSink", java},
			{"hbase2", k + "hbase2.HBase2Sink", java},
			{"hive", k + "hive.HiveSink", java},
			{"morphline_solr", k + "solr.morphline.MorphlineSolrSink", java},
			{"", k + "solr.morphline.MorphlineSink", java},
			{"", k + "kudu.KuduSink", java},
			{"elasticsearch", k + "elasticsearch.ElasticSearchSink", removed},
			{"", k + "kite.DatasetSink", removed},
		}
	case channelRole:
		return list{
			{"memory", c + "MemoryChannel", notYet},
			{"file", c + "file.FileChannel", notYet},
			{"spillablememory", c + "SpillableMemoryChannel", notYet},
			{"jdbc", c + "jdbc.JdbcChannel", java},
			{"", c + "kafka.KafkaChannel", notYet},
			{"", c + "PseudoTxnMemoryChannel", notYet},
		}
	case interceptorRole:
		return list{
			{"timestamp", i + "TimestampInterceptor$Builder", notYet},
			{"host", i + "HostInterceptor$Builder", notYet},
			{"static", i + "StaticInterceptor$Builder", notYet},
			{"regex_filter", i + "RegexFilteringInterceptor$Builder", notYet},
			{"regex_extractor", i + "RegexExtractorInterceptor$Builder", notYet},
			{"remove_header", i + "RemoveHeaderInterceptor$Builder", notYet},
			{"search_replace", i + "SearchAndReplaceInterceptor$Builder", notYet},
			{"", k + "solr.morphline.UUIDInterceptor$Builder", notYet},
			{"", k + "solr.morphline.MorphlineInterceptor$Builder", java},
		}
	case selectorRole:
		return list{
			{"replicating", c + "ReplicatingChannelSelector", notYet},
			{"multiplexing", c + "MultiplexingChannelSelector", notYet},
			{"load_balancing", c + "LoadBalancingChannelSelector", notYet},
		}
	case processorRole:
		return list{
			{"default", k + "DefaultSinkProcessor", notYet},
			{"failover", k + "FailoverSinkProcessor", notYet},
			{"load_balance", k + "LoadBalancingSinkProcessor", notYet},
		}
	}
	return nil
}

// unknown says of a type that no kind has which of four things it is, and what to do. The names are those of the kit.
func unknown(r role, typ string, names []string) string {
	for _, t := range theirs(r) {
		if typ != t.class && (t.alias == "" || !strings.EqualFold(typ, t.alias)) {
			continue
		}
		switch t.fate {
		case removed:
			return fmt.Sprintf("Flume itself removed the %s %q in 1.10, and Sluice does not have it; keep it in Flume 1.9: %s", r, typ, wayOut(r))
		case java:
			return fmt.Sprintf("the %s %q needs Java, which Sluice does not run; keep it in Flume: %s", r, typ, wayOut(r))
		case notYet:
			return fmt.Sprintf("Sluice does not have Flume's %s %q yet; keep it in Flume until then: %s", r, typ, wayOut(r))
		}
	}
	if r == interceptorRole { // the class that users know, where Flume wants the one that builds it
		if builder := typ + "$Builder"; slices.Contains(names, builder) {
			return fmt.Sprintf("there is no interceptor type %q; did you mean %q?", typ, builder)
		}
	}
	if near := conf.Nearest(typ, names); near != "" {
		return fmt.Sprintf("there is no %s type %q; did you mean %q?", r, typ, near)
	}
	if strings.Contains(typ, ".") {
		return fmt.Sprintf("%q is a Java class outside of Flume, and Sluice runs no Java; keep it in Flume (%s), or write it in Go as a kind of a kit of your own", typ, wayOut(r))
	}
	var aliases []string
	for _, n := range names {
		if n != "" && !strings.Contains(n, ".") {
			aliases = append(aliases, n)
		}
	}
	return fmt.Sprintf("there is no %s type %q; there are %s", r, typ, strings.Join(aliases, ", "))
}

// wayOut is how a hop stays in Flume with Sluice beside it.
func wayOut(r role) string {
	switch r {
	case sinkRole, processorRole:
		return "send to an avro sink here, and let a Flume agent with an avro source do the rest"
	case channelRole:
		return "let a Flume agent hold it and reach that with an avro sink, or take a file channel here"
	case sourceRole, interceptorRole, selectorRole:
		return "let a Flume agent with an avro sink send to an avro source here"
	}
	panic("BUG: a role without a way out: " + string(r))
}
