package stats

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Handler serves Flume's page: /metrics in any case is the JSON, / a link to it, TRACE and OPTIONS are refused,
// everything else is not there.
func (r *Registry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Method == http.MethodTrace || req.Method == http.MethodOptions:
			w.WriteHeader(http.StatusForbidden)
		case req.URL.Path == "/":
			w.Header().Set("Content-Type", "text/html;charset=utf-8")
			_, _ = w.Write([]byte("<a href=\"./metrics\">The counters of this agent</a>\n"))
		case strings.EqualFold(req.URL.Path, "/metrics"):
			w.Header().Set("Content-Type", "application/json;charset=utf-8")
			_, _ = w.Write(r.page())
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

// page is one object of objects; compact, and sorted so that two pages can be compared.
func (r *Registry) page() []byte {
	all := r.Components()
	slices.SortStableFunc(all, func(a, b *Counters) int { return strings.Compare(a.Key(), b.Key()) })
	page := []byte{'{'}
	for i, c := range all {
		if i > 0 {
			page = append(page, ',')
		}
		page = append(appendString(page, c.Key()), ':', '{')
		for j, a := range c.attributes() {
			if j > 0 {
				page = append(page, ',')
			}
			page = appendString(append(appendString(page, a.name), ':'), a.value)
		}
		page = append(page, '}')
	}
	return append(page, '}')
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a string that JSON cannot say: " + err.Error())
	}
	return append(b, quoted...)
}
