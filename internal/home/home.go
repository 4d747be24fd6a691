// Package home finds the directory that Flume's defaults begin with: Java's user.home.
package home

import (
	"os/user"

	"github.com/sluice-io/sluice/conf"
)

// Dir is what -Duser.home says, else what the user data base has, whatever HOME says. Shown is how the manual has it.
func Dir(d *conf.Decl) (dir, shown string) {
	if dir, ok := d.Property("user.home"); ok {
		return dir, dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir, "~"
	}
	return "?", "~" // what Java has for it
}
