package agent

import (
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// A Kit lists the kinds of components that a binary has. kit.Standard is the one of cmd/sluice; a program with kinds
// of its own makes its own list.
type Kit struct {
	Sources        []flume.Kind[flume.Source]
	Interceptors   []flume.Kind[flume.Interceptor]
	Selectors      []flume.Kind[flume.Selector]
	Channels       []flume.Kind[flume.Channel]
	Sinks          []flume.Kind[flume.Sink]
	SinkProcessors []flume.Kind[flume.SinkProcessor]
	ConfigFilters  []conf.FilterKind
}
