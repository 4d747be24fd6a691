package thriftrpc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// DeclareProtocol declares the setting protocol of a source or sink.
func DeclareProtocol(d *conf.Decl, p *Protocol) *conf.Setting {
	word := new(string)
	s := d.String(word, "protocol", "compact", "How calls are written, compact or binary, which must be the same on both ends.")
	s.Type, s.Choices = "one of compact, binary", []string{"compact", "binary"}
	return s.Bound(func() error {
		*p = Compact
		switch {
		case *word == "binary":
			*p = Binary
		case strings.EqualFold(*word, "compact"):
		case strings.EqualFold(*word, "binary"):
			return conf.Warn("protocol", fmt.Errorf("%s means compact, as in Flume, which knows binary in lower case only", *word))
		default:
			return fmt.Errorf("%q is not one of compact, binary", *word)
		}
		return nil
	})
}

// Kerberos are the settings of a source or sink for Kerberos, which is refused.
type Kerberos struct {
	Keys []string // what Flume reads beside kerberos

	on     bool
	unread string
}

// Declare declares them.
func (k *Kerberos) Declare(d *conf.Decl) {
	d.Bool(&k.on, "kerberos", false, "Whether to speak Kerberos; only false.")
	for _, key := range k.Keys {
		d.String(&k.unread, key, "", "What Flume needs for kerberos = true; nobody reads it.")
	}
	d.Check(func() error {
		if !k.on {
			return nil
		}
		return conf.At("kerberos", errors.New("is not spoken here; use ssl = true on both ends, or let Flume speak it: keep that hop there, with avro between it and this agent"))
	})
}
