// Package kit lists the kinds of components in the binary. A kind is in the binary because it stands here; a type of
// Flume's that is not is refused by name, with the way out.
package kit

import (
	"slices"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/channel/file"
	kafkachannel "github.com/sluice-io/sluice/channel/kafka"
	"github.com/sluice-io/sluice/channel/memory"
	"github.com/sluice-io/sluice/channel/spillable"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/configfilter/env"
	externalfilter "github.com/sluice-io/sluice/configfilter/external"
	"github.com/sluice-io/sluice/configfilter/hadoop"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/interceptor/dedup"
	externalinterceptor "github.com/sluice-io/sluice/interceptor/external"
	"github.com/sluice-io/sluice/interceptor/host"
	"github.com/sluice-io/sluice/interceptor/json"
	"github.com/sluice-io/sluice/interceptor/regexextractor"
	"github.com/sluice-io/sluice/interceptor/regexfilter"
	"github.com/sluice-io/sluice/interceptor/removeheader"
	"github.com/sluice-io/sluice/interceptor/searchreplace"
	"github.com/sluice-io/sluice/interceptor/sqllookup"
	"github.com/sluice-io/sluice/interceptor/static"
	"github.com/sluice-io/sluice/interceptor/timestamp"
	"github.com/sluice-io/sluice/interceptor/timestampextractor"
	"github.com/sluice-io/sluice/interceptor/uuid"
	"github.com/sluice-io/sluice/selector/loadbalancing"
	"github.com/sluice-io/sluice/selector/multiplexing"
	"github.com/sluice-io/sluice/selector/replicating"
	avrosink "github.com/sluice-io/sluice/sink/avro"
	externalsink "github.com/sluice-io/sluice/sink/external"
	"github.com/sluice-io/sluice/sink/fileroll"
	"github.com/sluice-io/sluice/sink/hdfs"
	httpsink "github.com/sluice-io/sluice/sink/http"
	kafkasink "github.com/sluice-io/sluice/sink/kafka"
	"github.com/sluice-io/sluice/sink/logger"
	"github.com/sluice-io/sluice/sink/null"
	sqlsink "github.com/sluice-io/sluice/sink/sql"
	thriftsink "github.com/sluice-io/sluice/sink/thrift"
	defaultgroup "github.com/sluice-io/sluice/sinkgroup/default"
	"github.com/sluice-io/sluice/sinkgroup/failover"
	"github.com/sluice-io/sluice/sinkgroup/loadbalance"
	"github.com/sluice-io/sluice/source/avro"
	"github.com/sluice-io/sluice/source/exec"
	"github.com/sluice-io/sluice/source/external"
	"github.com/sluice-io/sluice/source/http"
	"github.com/sluice-io/sluice/source/kafka"
	"github.com/sluice-io/sluice/source/multiportsyslogtcp"
	"github.com/sluice-io/sluice/source/netcat"
	"github.com/sluice-io/sluice/source/netcatudp"
	"github.com/sluice-io/sluice/source/scribe"
	"github.com/sluice-io/sluice/source/seq"
	"github.com/sluice-io/sluice/source/spooldir"
	"github.com/sluice-io/sluice/source/stress"
	"github.com/sluice-io/sluice/source/syslogtcp"
	"github.com/sluice-io/sluice/source/syslogudp"
	"github.com/sluice-io/sluice/source/taildir"
	"github.com/sluice-io/sluice/source/thrift"
)

// Standard is the kit of cmd/sluice.
var Standard = agent.Kit{
	Sources: slices.Concat([]flume.Kind[flume.Source]{
		avro.Kind,
		exec.Kind,
		external.Kind,
		http.Kind,
		kafka.Kind,
		multiportsyslogtcp.Kind,
		netcat.Kind,
		netcatudp.Kind,
		scribe.Kind,
		seq.Kind,
		stress.Kind,
		syslogtcp.Kind,
		syslogudp.Kind,
		spooldir.Kind,
		taildir.Kind,
		thrift.Kind,
	}, refused[flume.Source]("source", refusedSources)),
	Interceptors: slices.Concat([]flume.Kind[flume.Interceptor]{
		externalinterceptor.Kind,
		dedup.Kind,
		host.Kind,
		json.Kind,
		regexextractor.Kind,
		regexfilter.Kind,
		removeheader.Kind,
		searchreplace.Kind,
		sqllookup.Kind,
		static.Kind,
		timestamp.Kind,
		timestampextractor.Kind,
		uuid.Kind,
	}, refused[flume.Interceptor]("interceptor", refusedInterceptors)),
	Selectors: []flume.Kind[flume.Selector]{
		loadbalancing.Kind,
		multiplexing.Kind,
		replicating.Kind,
	},
	Channels: slices.Concat([]flume.Kind[flume.Channel]{
		file.Kind,
		kafkachannel.Kind,
		memory.Kind,
		spillable.Kind,
	}, refused[flume.Channel]("channel", refusedChannels)),
	Sinks: slices.Concat([]flume.Kind[flume.Sink]{
		avrosink.Kind,
		externalsink.Kind,
		httpsink.Kind,
		fileroll.Kind,
		hdfs.Kind,
		kafkasink.Kind,
		logger.Kind,
		null.Kind,
		sqlsink.Kind,
		thriftsink.Kind,
	}, refused[flume.Sink]("sink", refusedSinks)),
	SinkProcessors: []flume.Kind[flume.SinkProcessor]{
		defaultgroup.Kind,
		failover.Kind,
		loadbalance.Kind,
	},
	ConfigFilters: []conf.FilterKind{
		env.Kind,
		externalfilter.Kind,
		hadoop.Kind,
	},
}
