package cli

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// monitoring serves Flume's metrics page: -Dflume.monitoring.type=http -Dflume.monitoring.port=41414, on all
// interfaces, without authentication. Whatever is wrong with it, the agent runs.
type monitoring struct {
	log    *slog.Logger
	port   string // empty: not asked for
	server *http.Server
	ended  chan struct{}
}

func newMonitoring(p properties, log *slog.Logger) *monitoring {
	m := &monitoring{log: log.With("component", "monitoring")}
	switch typ := p["flume.monitoring.type"]; typ {
	case "":
	case "http", "HTTP":
		m.port = "41414"
		if text, ok := p["flume.monitoring.port"]; ok {
			m.port = text
		}
		if _, err := strconv.ParseUint(m.port, 10, 16); err != nil {
			m.log.Error("flume.monitoring.port is not a port; there is no metrics page", "port", m.port)
			m.port = ""
		}
	default:
		m.log.Warn("flume.monitoring.type is none of this version, so nothing is monitored; there is http", "type", typ)
	}
	return m
}

// serve starts the page; it is called once.
func (m *monitoring) serve(page http.Handler) {
	if m.port == "" {
		return
	}
	l, err := net.Listen("tcp", ":"+m.port)
	if err != nil {
		m.log.Error("opening the metrics page; the agent runs without it", "error", err)
		return
	}
	m.server = &http.Server{Handler: page, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)}
	m.ended = make(chan struct{})
	m.log.Info("serving the metrics page", "address", l.Addr())
	go func() {
		defer close(m.ended)
		if err := m.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("serving the metrics page", "error", err)
		}
	}()
}

func (m *monitoring) close() {
	if m.server == nil {
		return
	}
	if err := m.server.Close(); err != nil {
		m.log.Warn("closing the metrics page", "error", err)
	}
	<-m.ended
}
