package tls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// lists are the four settings that say which protocols and cipher suites may be spoken.
type lists struct {
	includeProtocols, excludeProtocols string
	includeSuites, excludeSuites       string
}

func (l *lists) declare(d *conf.Decl, olds map[string][]string) {
	d.String(&l.includeProtocols, "include-protocols", "", "The protocols to speak (TLSv1 TLSv1.1 TLSv1.2 TLSv1.3), separated by blanks or commas; empty: TLSv1.2 and TLSv1.3.").
		From("flume.ssl.include.protocols", "FLUME_SSL_INCLUDE_PROTOCOLS")
	d.String(&l.excludeProtocols, "exclude-protocols", "SSLv3", "The protocols not to speak, though included; SSLv3 is never spoken.").Old(olds["exclude-protocols"]...).
		From("flume.ssl.exclude.protocols", "FLUME_SSL_EXCLUDE_PROTOCOLS")
	d.String(&l.includeSuites, "include-cipher-suites", "", "The cipher suites to use, by their IANA names; empty: all that are safe.").
		From("flume.ssl.include.cipherSuites", "FLUME_SSL_INCLUDE_CIPHERSUITES")
	d.String(&l.excludeSuites, "exclude-cipher-suites", "", "The cipher suites not to use, though included.").
		From("flume.ssl.exclude.cipherSuites", "FLUME_SSL_EXCLUDE_CIPHERSUITES")
}

// named is the list that has that key.
func (l *lists) named(key string) *string {
	switch key {
	case "include-protocols":
		return &l.includeProtocols
	case "exclude-protocols":
		return &l.excludeProtocols
	case "include-cipher-suites":
		return &l.includeSuites
	case "exclude-cipher-suites":
		return &l.excludeSuites
	}
	panic("BUG: there is no list " + key)
}

// words splits a list. Flume separates a component's by blanks and the global ones by commas.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
}

// protocols are Java's names, oldest first.
func protocols() []protocol {
	return []protocol{
		{"TLSv1", tls.VersionTLS10}, {"TLSv1.1", tls.VersionTLS11}, {"TLSv1.2", tls.VersionTLS12}, {"TLSv1.3", tls.VersionTLS13},
	}
}

type protocol struct {
	name    string
	version uint16
}

// gone are protocols that Java knows and Go does not speak.
func gone(name string) bool { return name == "SSLv3" || name == "SSLv2Hello" }

// choice is what the four lists come to.
type choice struct {
	min, max uint16
	suites   []uint16 // nil: Go's own choice
	warnings []error
}

func (c *choice) warn(key, format string, args ...any) {
	c.warnings = append(c.warnings, conf.Warn(key, fmt.Errorf(format, args...)))
}

// check returns what is wrong with the lists, with the keys.
func (l *lists) check() error {
	c, err := l.choose()
	return errors.Join(append(c.warnings, err)...)
}

func (l *lists) apply(c *tls.Config) error {
	got, err := l.choose()
	if err != nil {
		return err
	}
	c.MinVersion, c.MaxVersion, c.CipherSuites = got.min, got.max, got.suites
	return nil
}

func (l *lists) choose() (choice, error) {
	var c choice
	enabled, err := l.versions(&c)
	if err != nil {
		return c, err
	}
	suites, modern := l.suites(&c)
	if enabled[len(enabled)-1] == tls.VersionTLS13 && modern != all {
		if modern == some {
			c.warn(l.suiteKey(), "names a part of TLS 1.3's cipher suites, among which Go does not let one choose; TLSv1.3 is not spoken")
		}
		enabled = enabled[:len(enabled)-1]
	}
	if len(suites) == 0 && suites != nil {
		enabled = slices.DeleteFunc(enabled, func(v uint16) bool { return v != tls.VersionTLS13 })
	}
	if len(enabled) == 0 {
		return c, conf.At(l.suiteKey(), errors.New("leaves no cipher suite that Sluice has"))
	}
	c.min, c.max, c.suites = enabled[0], enabled[len(enabled)-1], suites
	return c, nil
}

// versions returns the protocols that may be spoken, ascending and without a gap.
func (l *lists) versions(c *choice) ([]uint16, error) {
	known := protocols()
	include, exclude := words(l.includeProtocols), words(l.excludeProtocols)
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
	}
	for _, w := range include {
		if !slices.Contains(names, w) {
			c.warn("include-protocols", "names %q, which is no protocol that Sluice speaks (%s)", w, strings.Join(names, ", "))
		}
	}
	for _, w := range exclude {
		if !slices.Contains(names, w) && !gone(w) {
			c.warn("exclude-protocols", "names %q, which is no protocol (%s)", w, strings.Join(names, ", "))
		}
	}
	var out []uint16
	for _, p := range known {
		wanted := slices.Contains(include, p.name)
		if len(include) == 0 {
			wanted = p.version >= tls.VersionTLS12
		}
		if !wanted || slices.Contains(exclude, p.name) {
			continue
		}
		if n := len(out); n > 0 && out[n-1]+1 != p.version {
			return nil, conf.At("include-protocols", fmt.Errorf("leaves a gap below %s; Sluice speaks a range of protocols", p.name))
		}
		out = append(out, p.version)
	}
	if len(out) == 0 {
		return nil, conf.At("include-protocols", errors.New("and exclude-protocols leave no protocol to speak"))
	}
	return out, nil
}

// part says how much of TLS 1.3's suites, which cannot be chosen one by one, a list leaves.
type part int

const (
	none part = iota
	some
	all
)

// suites returns the suites for TLS 1.2 and older, nil for Go's choice, and what is left of TLS 1.3's.
func (l *lists) suites(c *choice) ([]uint16, part) {
	include, exclude := words(l.includeSuites), words(l.excludeSuites)
	for _, list := range [][]string{include, exclude} {
		for i, w := range list {
			if rest, ok := strings.CutPrefix(w, "SSL_"); ok { // what Java calls the oldest suites
				list[i] = "TLS_" + rest
			}
		}
	}
	if len(include) == 0 && len(exclude) == 0 {
		return nil, all
	}
	for _, w := range exclude {
		if !strings.HasPrefix(w, "TLS_") {
			c.warn("exclude-cipher-suites", "names %q, which is no cipher suite", w)
		}
	}
	safe := tls.CipherSuites()
	known := append(slices.Clone(safe), tls.InsecureCipherSuites()...)
	for _, w := range include {
		if !slices.ContainsFunc(known, func(s *tls.CipherSuite) bool { return s.Name == w }) {
			c.warn("include-cipher-suites", "names %q, which Sluice does not have", w)
		}
	}
	if len(include) == 0 {
		known = safe
	}
	out := []uint16{}
	have, left := 0, 0
	for _, s := range known {
		modern := slices.Contains(s.SupportedVersions, tls.VersionTLS13)
		if modern {
			have++
		}
		if len(include) > 0 && !slices.Contains(include, s.Name) || slices.Contains(exclude, s.Name) {
			continue
		}
		if modern {
			left++
		} else {
			out = append(out, s.ID)
		}
	}
	switch left {
	case 0:
		return out, none
	case have:
		return out, all
	}
	return out, some
}

// suiteKey is the list that a complaint about suites is placed at.
func (l *lists) suiteKey() string {
	if l.includeSuites != "" {
		return "include-cipher-suites"
	}
	return "exclude-cipher-suites"
}
