package eventtime

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-io/sluice/conf"
)

// A Fallback is what becomes of an event that tells no time.
type Fallback string

// The fallbacks.
const (
	Now    Fallback = "now"
	None   Fallback = "none"
	Reject Fallback = "reject"
)

// Settings are what the components that read times have in common.
type Settings struct {
	Prefix   string // of the settings' names, for what is wrong with them
	Header   string
	Format   Format
	Pattern  string
	Zone     string
	Fallback Fallback

	zone *time.Location
}

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Header, "headerName", "timestamp", "The name of the header that gets the time, in milliseconds since 1970 UTC.")
	conf.Choice(d, &s.Format, "format", Auto,
		"The format of the time; auto takes ISO 8601, numbers since 1970 by their digits, and the formats of web servers, syslog, mail and Java.",
		Auto, ISO, Epoch, Seconds, Millis, Micros, Nanos, CLF, Syslog, RFC1123)
	d.String(&s.Pattern, "pattern", "", "The format as a date pattern of Java, such as dd.MM.yyyy HH:mm:ss; it wins over format.")
	d.String(&s.Zone, "timezone", "", "The zone of times that name none, such as Europe/Berlin or UTC. Without it the zone of the machine.")
	conf.Choice(d, &s.Fallback, "fallback", Now,
		"What becomes of an event whose body tells no time: now stamps it with the present, none leaves it as it is, reject sends it to the dead letters.",
		Now, None, Reject)
	d.Check(s.check)
}

func (s *Settings) check() (err error) {
	s.zone = time.Local
	if s.Zone != "" {
		if s.zone, err = time.LoadLocation(s.Zone); err != nil {
			return conf.At(s.Prefix+"timezone", fmt.Errorf("%q is no time zone; there are names such as Europe/Berlin and UTC", s.Zone))
		}
	}
	if _, err = s.Reader(); err != nil {
		return conf.At(s.Prefix+"pattern", err)
	}
	if s.Pattern != "" && s.Format != Auto {
		return conf.Warn(s.Prefix+"format", errors.New("has no effect: pattern is set and wins"))
	}
	return nil
}

// Reader reads times as the settings say.
func (s *Settings) Reader() (*Reader, error) { return New(s.Format, s.Pattern, s.zone, time.Now()) }
