// Package kit lists the kinds of components in the binary. A kind is in the binary because it stands here; a type of
// Flume's that is not is refused by name, with the way out.
package kit

import (
	"slices"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/channel/file"
	"github.com/sluice-io/sluice/channel/memory"
	"github.com/sluice-io/sluice/channel/spillable"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/configfilter/env"
	"github.com/sluice-io/sluice/configfilter/external"
	"github.com/sluice-io/sluice/configfilter/hadoop"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/interceptor/host"
	"github.com/sluice-io/sluice/interceptor/regexextractor"
	"github.com/sluice-io/sluice/interceptor/regexfilter"
	"github.com/sluice-io/sluice/interceptor/removeheader"
	"github.com/sluice-io/sluice/interceptor/searchreplace"
	"github.com/sluice-io/sluice/interceptor/static"
	"github.com/sluice-io/sluice/interceptor/timestamp"
	"github.com/sluice-io/sluice/interceptor/timestampextractor"
	"github.com/sluice-io/sluice/interceptor/uuid"
	"github.com/sluice-io/sluice/selector/multiplexing"
	"github.com/sluice-io/sluice/selector/replicating"
	avrosink "github.com/sluice-io/sluice/sink/avro"
	kafkasink "github.com/sluice-io/sluice/sink/kafka"
	"github.com/sluice-io/sluice/sink/logger"
	"github.com/sluice-io/sluice/sink/null"
	thriftsink "github.com/sluice-io/sluice/sink/thrift"
	defaultgroup "github.com/sluice-io/sluice/sinkgroup/default"
	"github.com/sluice-io/sluice/source/avro"
	"github.com/sluice-io/sluice/source/kafka"
	"github.com/sluice-io/sluice/source/netcat"
	"github.com/sluice-io/sluice/source/scribe"
	"github.com/sluice-io/sluice/source/seq"
	"github.com/sluice-io/sluice/source/spooldir"
	"github.com/sluice-io/sluice/source/taildir"
	"github.com/sluice-io/sluice/source/thrift"
)

// Standard is the kit of cmd/sluice.
var Standard = agent.Kit{
	Sources: slices.Concat([]flume.Kind[flume.Source]{
		avro.Kind,
		kafka.Kind,
		netcat.Kind,
		scribe.Kind,
		seq.Kind,
		spooldir.Kind,
		taildir.Kind,
		thrift.Kind,
	}, refused[flume.Source]("source", refusedSources)),
	Interceptors: slices.Concat([]flume.Kind[flume.Interceptor]{
		host.Kind,
		regexextractor.Kind,
		regexfilter.Kind,
		removeheader.Kind,
		searchreplace.Kind,
		static.Kind,
		timestamp.Kind,
		timestampextractor.Kind,
		uuid.Kind,
	}, refused[flume.Interceptor]("interceptor", refusedInterceptors)),
	Selectors: slices.Concat([]flume.Kind[flume.Selector]{
		multiplexing.Kind,
		replicating.Kind,
	}, refused[flume.Selector]("channel selector", refusedSelectors)),
	Channels: slices.Concat([]flume.Kind[flume.Channel]{
		file.Kind,
		memory.Kind,
		spillable.Kind,
	}, refused[flume.Channel]("channel", refusedChannels)),
	Sinks: slices.Concat([]flume.Kind[flume.Sink]{
		avrosink.Kind,
		kafkasink.Kind,
		logger.Kind,
		null.Kind,
		thriftsink.Kind,
	}, refused[flume.Sink]("sink", refusedSinks)),
	SinkProcessors: slices.Concat([]flume.Kind[flume.SinkProcessor]{
		defaultgroup.Kind,
	}, refused[flume.SinkProcessor]("sink processor", refusedSinkProcessors)),
	ConfigFilters: []conf.FilterKind{
		env.Kind,
		external.Kind,
		hadoop.Kind,
	},
}
