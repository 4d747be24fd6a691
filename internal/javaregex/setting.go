package javaregex

import (
	"errors"

	"github.com/sluice-io/sluice/conf"
)

// Setting declares a setting that holds a pattern. Where it has no value and is not required the pattern is nil, unless
// there is a default.
func Setting(d *conf.Decl, p **Pattern, key, value, doc string) *conf.Setting {
	text := new(string)
	s := d.String(text, key, value, doc)
	return s.Bound(func() (err error) {
		*p = nil
		switch {
		case *text == "" && s.IsRequired():
			err = errors.New("is empty and required: " + doc)
		case *text != "" || value != "":
			*p, err = Compile(*text)
		}
		return err
	})
}
