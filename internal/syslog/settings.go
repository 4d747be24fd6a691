package syslog

import (
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// Settings are what all syslog sources share.
type Settings struct {
	Host    string
	Fields  string
	AsFlume bool
}

// Declare declares host, keepFields and flumeTimestamps.
func (s *Settings) Declare(d *conf.Decl) {
	d.String(&s.Host, "host", "", "The address or host name to listen on; empty or 0.0.0.0 is every address of the machine.").Also("bind")
	d.String(&s.Fields, "keepFields", "none", "What stays in the body: all (or true) is the whole message as it came, none (or false) what follows the host; or some of priority, version, timestamp, hostname.").
		Bound(func() error {
			if rest := unknown(s.Fields); rest != "" {
				return conf.Warn("keepFields", fmt.Errorf("has %q, which means nothing; all, none, priority, version, timestamp and hostname are known", rest))
			}
			return nil
		})
	d.Bool(&s.AsFlume, "flumeTimestamps", false, "Read times with Flume's mistakes: in syslogtcp and syslogudp a time with a fraction loses its zone, and .5 is 5 ms; "+
		"in multiport_syslogtcp a time without a year that is more than a month away is in 1999 or 2001. A setting of Sluice's own.")
}

// Keep are the fields that stay in the body.
func (s *Settings) Keep() Keep { return ParseKeep(s.Fields) }

// unknown is what keepFields has beside words that are known.
func unknown(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	switch text {
	case "all", "true", "none", "false":
		return ""
	}
	for _, word := range []string{"priority", "version", "timestamp", "hostname"} {
		text = strings.ReplaceAll(text, word, " ")
	}
	return strings.Trim(text, " ,;\t")
}

// StreamSettings are what the syslog sources over TCP share.
type StreamSettings struct {
	Most      int
	Counts    bool
	MaxMemory int64
}

// Declare declares eventSize, octetCounting and max-memory.
func (s *StreamSettings) Declare(d *conf.Decl) {
	const leastMemory, share = 4 << 20, 8
	d.Int(&s.Most, "eventSize", 2500, "The most bytes of a message. A longer one is cut: its first part has the header flume.syslog.status = Incomplete, the rest is read as the next message.").AtLeast(1)
	d.Bool(&s.Counts, "octetCounting", true, "Take messages with their length in front too, as RFC 6587 has it. A setting of Sluice's own.")
	d.Int64(&s.MaxMemory, "max-memory", 128<<20, "The most bytes that connections hold together while messages are received and put into the channels; clients that hold much and send slowly are disconnected when others wait. A setting of Sluice's own.").
		AtLeast(leastMemory)
	d.Check(func() error {
		if s.MaxMemory < share*int64(s.Most) {
			return conf.At("max-memory", fmt.Errorf("is %d; with eventSize = %d it has to be %d or more", s.MaxMemory, s.Most, share*int64(s.Most)))
		}
		return nil
	})
}
