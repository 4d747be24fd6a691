// Package stats keeps Flume's counters of every component and serves Flume's JSON metrics page.
package stats

import "net/http"

// A Registry holds the counters of all components of an agent.
type Registry struct{}

// Handler serves the metrics page.
func (r *Registry) Handler() http.Handler { return http.NotFoundHandler() }
