package fileroll

import (
	"fmt"
	"time"
)

// names gives files their names, as Flume's path managers do.
type names struct {
	settings *Settings
	began    int64 // ms
	second   string
	number   int
}

func (n *names) next(now time.Time) string {
	of := fmt.Sprint(n.began)
	if n.settings.rollTime {
		of = now.Format("20060102150405")
		if of != n.second {
			n.second, n.number = of, 0
		}
	}
	n.number++
	name := fmt.Sprintf("%s%s-%d", n.settings.Prefix, of, n.number)
	if n.settings.Extension != "" {
		name += "." + n.settings.Extension
	}
	return name
}
