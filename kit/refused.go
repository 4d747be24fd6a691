package kit

import (
	"fmt"

	"github.com/sluice-io/sluice/flume"
)

// A refusal is a type of Flume's that this binary does not have.
type refusal struct {
	name  string // Flume's alias, or where it has none the one that Sluice gives it
	class string
	own   bool // the alias is Sluice's
	why   reason
	// instead is what to do; empty: what all types of its role that are refused for this reason have in common.
	instead string
}

// A reason is why a type is not here.
type reason string

const (
	later   reason = "is not in this version of Sluice"
	java    reason = "needs Java libraries, which Sluice cannot run"
	removed reason = "was removed from Flume itself, in 1.10"
	never   reason = "is not in Sluice"
)

// Where the flow is to leave Sluice, or to enter it.
const (
	before = "keep this hop in Flume, with an avro sink that sends to an avro source here"
	behind = "keep this hop in Flume, with an avro source that an avro sink here sends to"
)

// refused makes the kinds of a role that cannot be opened.
func refused[C any](role string, list []refusal) []flume.Kind[C] {
	out := make([]flume.Kind[C], len(list))
	for i, r := range list {
		instead := r.instead
		if instead == "" {
			switch role {
			case "sink", "sink processor":
				instead = behind
			case "channel":
				instead = "use type = memory, or keep this agent in Flume; the agents before and behind it can be Sluice, with avro between them"
			default:
				instead = before
			}
		}
		out[i] = flume.Refuse[C](r.name, r.class, fmt.Sprintf("the %s %s %s; %s", r.name, role, r.why, instead))
		out[i].Unlisted = r.own
	}
	return out
}

const (
	sources      = "org.apache.flume.source."
	sinks        = "org.apache.flume.sink."
	channels     = "org.apache.flume.channel."
	interceptors = "org.apache.flume.interceptor."
)

var refusedSources = []refusal{
	{name: "netcatudp", class: sources + "NetcatUdpSource", why: later},
	{name: "exec", class: sources + "ExecSource", why: later},
	{name: "syslogtcp", class: sources + "SyslogTcpSource", why: later},
	{name: "multiport_syslogtcp", class: sources + "MultiportSyslogTCPSource", why: later},
	{name: "syslogudp", class: sources + "SyslogUDPSource", why: later},
	{name: "http", class: sources + "http.HTTPSource", why: later},
	{name: "stress", class: sources + "StressSource", own: true, why: later},
	{name: "jms", class: sources + "jms.JMSSource", why: java},
	{name: "avrolegacy", class: sources + "avroLegacy.AvroLegacySource", own: true, why: never},
	{name: "thriftlegacy", class: sources + "thriftLegacy.ThriftLegacySource", own: true, why: never},
	{name: "twitter", class: sources + "twitter.TwitterSource", own: true, why: never,
		instead: "Twitter has ended the service that it reads, so that Flume's cannot work either; remove it"},
}

var refusedInterceptors = []refusal{
	{name: "morphline", class: sinks + "solr.morphline.MorphlineInterceptor$Builder", own: true, why: java},
}

var refusedSelectors = []refusal{
	{name: "load_balancing", class: channels + "LoadBalancingChannelSelector", why: later,
		instead: "Flume 1.11 does not load it either; use replicating or multiplexing"},
}

var refusedChannels = []refusal{
	{name: "kafka", class: channels + "kafka.KafkaChannel", own: true, why: later},
	{name: "jdbc", class: channels + "jdbc.JdbcChannel", why: java,
		instead: "let Flume drain its database first, then use type = memory; or keep this agent in Flume"},
	{name: "pseudotxn", class: channels + "PseudoTxnMemoryChannel", own: true, why: never,
		instead: "it loses events when a sink fails; use type = memory, which does not"},
}

var refusedSinks = []refusal{
	{name: "file_roll", class: sinks + "RollingFileSink", why: later},
	{name: "hdfs", class: sinks + "hdfs.HDFSEventSink", why: later},
	{name: "irc", class: sinks + "irc.IRCSink", why: later},
	{name: "http", class: sinks + "http.HttpSink", why: later},
	{name: "hbase", class: sinks + "hbase.HBaseSink", why: java},
	{name: "asynchbase", class: sinks + "hbase.AsyncHBaseSink", why: java},
	{name: "hbase2", class: sinks + "hbase2.HBase2Sink", why: java},
	{name: "hive", class: sinks + "hive.HiveSink", why: java},
	{name: "morphline_solr", class: sinks + "solr.morphline.MorphlineSolrSink", why: java},
	{name: "morphline", class: sinks + "solr.morphline.MorphlineSink", own: true, why: java},
	{name: "kudu", class: sinks + "kudu.KuduSink", own: true, why: java},
	{name: "elasticsearch", class: sinks + "elasticsearch.ElasticSearchSink", why: removed,
		instead: "keep this hop in Flume 1.9, with an avro source that an avro sink here sends to"},
	{name: "dataset", class: sinks + "kite.DatasetSink", own: true, why: removed,
		instead: "keep this hop in Flume 1.9, with an avro source that an avro sink here sends to"},
}

var refusedSinkProcessors = []refusal{
	{name: "failover", class: sinks + "FailoverSinkProcessor", why: later},
	{name: "load_balance", class: sinks + "LoadBalancingSinkProcessor", why: later},
}
