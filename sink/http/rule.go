package http

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// A rule says yes or no to a status.
type rule struct {
	usual  bool // of a status without a setting of its own, but for success
	values conf.Values
	exact  map[int]bool // 404
	class  map[int]bool // 4
}

// declare declares a default, and what stands below prefix.CODE.
func (r *rule) declare(d *conf.Decl, prefix, key string, usual bool, doc string) {
	d.Bool(&r.usual, key, usual, doc+", where neither "+prefix+".CODE nor the status class says it; not for 2XX.")
	d.Rest(&r.values, prefix+".", doc+": by status, as "+prefix+".404, or by class, as "+prefix+".4XX, which holds where the status has no setting.")
	d.Check(func() error { return r.check(prefix) })
}

func (r *rule) check(prefix string) error {
	r.exact, r.class = map[int]bool{}, map[int]bool{}
	var problems []error
	for _, v := range r.values {
		key := prefix + "." + v.Key
		yes := strings.EqualFold(v.Text, "true")
		if !yes && !strings.EqualFold(v.Text, "false") {
			problems = append(problems, conf.Warn(key, fmt.Errorf("%q is neither true nor false; it is taken as false", v.Text)))
		}
		digit, isClass := strings.CutSuffix(strings.ToUpper(v.Key), "XX")
		n, err := strconv.Atoi(digit)
		switch {
		case err == nil && isClass && n >= 1 && n <= 9:
			r.class[n] = yes
			if !strings.HasSuffix(v.Key, "XX") {
				problems = append(problems, conf.Warn(key, fmt.Errorf("is taken as %s.%dXX; Flume ignores it", prefix, n)))
			}
		case err == nil && !isClass && n >= 100 && n <= 999:
			r.exact[n] = yes
		default:
			problems = append(problems, conf.Warn(key, errors.New("is neither a status, such as 404, nor a class, such as 4XX; Flume ignores it too")))
		}
	}
	return errors.Join(problems...)
}

// applies answers for a status; otherwise is for one that has no setting.
func (r *rule) applies(code int, otherwise bool) bool {
	if yes, ok := r.exact[code]; ok {
		return yes
	}
	if yes, ok := r.class[code/100]; ok {
		return yes
	}
	return otherwise
}

func success(code int) bool { return code >= 200 && code < 300 }
