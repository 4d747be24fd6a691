// Package env is the config filter that gives environment variables: ${f1['NAME']} is the value of NAME.
//
//	a1.configfilters = f1
//	a1.configfilters.f1.type = env
//	a1.sources.r1.keystorePassword = ${f1['KEYSTORE_PASSWORD']}
//
// A variable that is not set is an error at the value that asks for it; Flume leaves the text as it stands. One that is
// set and empty leaves the setting empty, as if it were not there.
package env

import (
	"errors"
	"fmt"

	"github.com/sluice-io/sluice/conf"
)

// Kind is the env config filter.
var Kind = conf.DefineFilter("env", "org.apache.flume.configfilter.EnvironmentVariableConfigFilter",
	"Gives the values of environment variables.", open)

// Settings has none.
type Settings struct{}

// Declare declares nothing.
func (s *Settings) Declare(*conf.Decl) {}

type filter struct{ env conf.Lookup }

func open(_ *Settings, sec *conf.Section) (conf.Filter, error) {
	if sec.Env == nil {
		return nil, errors.New("there is no environment here")
	}
	return filter{sec.Env}, nil
}

// Lookup returns the value of the variable.
func (f filter) Lookup(name string) (string, error) {
	v, ok := f.env(name)
	if !ok {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	return v, nil
}
