package kit

import (
	"fmt"

	"github.com/sluice-io/sluice/flume"
)

// A refusal is a type of Flume's that this binary does not have.
type refusal struct {
	name  string // Flume's alias, or where it has none the one that Sluice gives it
	class string
	own   bool   // the alias is Sluice's
	also  string // a class of others that users take for it
	why   reason
	// instead is what to do; empty: what all types of its role that are refused for this reason have in common.
	instead string
	final   bool // there is nothing else to do
}

// A reason is why a type is not here.
type reason string

const (
	later   reason = "is not in this version of Sluice"
	java    reason = "is in Flume and not in Sluice, for it needs Java libraries"
	removed reason = "was removed from Flume itself, in 1.10"
	never   reason = "is in Flume and not in Sluice"
)

// Where the flow is to leave Sluice, or to enter it.
const (
	before = "keep this hop in Flume, with an avro sink that sends to an avro source here"
	behind = "keep this hop in Flume, with an avro source that an avro sink here sends to"
	ways   = ", or have a program in any language do it (type = external, docs/guide/external.md), or write it in Go (docs/guide/extending.md)"
)

// refused makes the kinds of a role that cannot be opened.
func refused[C any](role string, list []refusal) []flume.Kind[C] {
	out := make([]flume.Kind[C], len(list))
	for i, r := range list {
		instead := r.instead
		if instead == "" {
			switch role {
			case "sink":
				instead = behind
			case "channel":
				instead = "use type = memory, or keep this agent in Flume; the agents before and behind it can be Sluice, with avro between them"
			default:
				instead = before
			}
		}
		if r.why != later && !r.final {
			switch role {
			case "source", "interceptor", "sink":
				instead += ways
			}
		}
		out[i] = flume.Refuse[C](r.name, r.class, fmt.Sprintf("the %s %s %s; %s", r.name, role, r.why, instead))
		out[i].Unlisted = r.own
		if r.also != "" {
			out[i].Also = []string{r.also}
		}
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
	{name: "jms", class: sources + "jms.JMSSource", why: java},
	{name: "avrolegacy", class: sources + "avroLegacy.AvroLegacySource", own: true, why: never},
	{name: "thriftlegacy", class: sources + "thriftLegacy.ThriftLegacySource", own: true, why: never},
	{name: "twitter", class: sources + "twitter.TwitterSource", own: true, why: never, also: "com.cloudera.flume.source.TwitterSource", final: true,
		instead: "Twitter has ended the service that it reads, and Cloudera's too, so that it cannot work in Flume either; remove it"},
}

var refusedInterceptors = []refusal{
	{name: "morphline", class: sinks + "solr.morphline.MorphlineInterceptor$Builder", own: true, why: java,
		instead: "what many of them do is here: regex_extractor, search_replace, timestamp_extractor, regex_filter; or " + before},
}

var refusedChannels = []refusal{
	{name: "jdbc", class: channels + "jdbc.JdbcChannel", why: java,
		instead: "let Flume drain its database first, then use type = memory; or keep this agent in Flume"},
	{name: "pseudotxn", class: channels + "PseudoTxnMemoryChannel", own: true, why: never,
		instead: "it loses events when a sink fails; use type = memory, which does not"},
}

var refusedSinks = []refusal{
	{name: "irc", class: sinks + "irc.IRCSink", why: later},
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
