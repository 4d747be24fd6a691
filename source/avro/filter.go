package avro

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
)

// rules are Flume's ipFilterRules, in order. The first that fits decides; who fits none is let in.
type rules []rule

type rule struct {
	allow     bool
	name      bool // the pattern is for the host name; else for the address
	localhost bool // name:localhost, which means this machine
	pattern   *regexp.Regexp
	network   string // the pattern, where it is a network such as 10.0.0.0/8, which no address fits
}

// parseRules reads "allow:ip:127.*,deny:name:*". In a pattern a dot is a dot, * any run of characters, ? any one; the
// rest has its meaning in regular expressions. It must fit the whole text.
func parseRules(text string) (rules, error) {
	var out rules
	for _, part := range strings.Split(strings.TrimRight(text, ", "), ",") {
		part = strings.TrimSpace(part)
		words := strings.SplitN(part, ":", 3)
		if len(words) < 3 || words[2] == "" || words[0] != "allow" && words[0] != "deny" || words[1] != "ip" && words[1] != "name" {
			return nil, fmt.Errorf(`%q is no rule; a rule is "allow" or "deny", ":", "ip" or "name", ":" and a pattern`, part)
		}
		r := rule{allow: words[0] == "allow", name: words[1] == "name"}
		r.localhost = r.name && words[2] == "localhost"
		if _, err := netip.ParsePrefix(words[2]); err == nil {
			r.network = words[2]
		}
		pattern := strings.NewReplacer(".", `\.`, "*", ".*", "?", ".").Replace(words[2])
		var err error
		if r.pattern, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			return nil, fmt.Errorf("%q has a pattern that cannot be read: %w", part, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// doubt warns of rules that no client fits.
func (rs rules) doubt() error {
	var problems []error
	for _, r := range rs {
		if r.network != "" {
			problems = append(problems, conf.Warn("ipFilterRules",
				fmt.Errorf("no client fits %s: a pattern is text with * and ?, such as 10.*, and not a network", r.network)))
		}
	}
	return errors.Join(problems...)
}

// lookupTime bounds the search for a host name.
const lookupTime = 5 * time.Second

// allow judges a client. Its name is looked up only where a rule asks for it.
func (rs rules) allow(ctx context.Context, from net.Addr) bool {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return false
	}
	addr = addr.Unmap()
	texts := addressTexts(addr)
	name := ""
	for _, r := range rs {
		var fits bool
		switch {
		case r.localhost && isThisMachine(ctx, addr):
			fits = true
		case r.name:
			if name == "" {
				name = hostName(ctx, addr)
			}
			fits = r.pattern.MatchString(name)
		default:
			fits = slices.ContainsFunc(texts, r.pattern.MatchString)
		}
		if fits {
			return r.allow
		}
	}
	return true
}

// addressTexts are the ways in which a rule may write an address: for IPv6 Java's, which leaves no zeros out, and the
// usual one.
func addressTexts(addr netip.Addr) []string {
	addr = addr.WithZone("")
	if addr.Is4() {
		return []string{addr.String()}
	}
	b := addr.As16()
	groups := make([]string, 0, 8)
	for i := 0; i < len(b); i += 2 {
		groups = append(groups, fmt.Sprintf("%x", uint16(b[i])<<8|uint16(b[i+1])))
	}
	return []string{strings.Join(groups, ":"), addr.String()}
}

// hostName is the name of an address, if that name leads back to it, else the address itself.
func hostName(ctx context.Context, addr netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
	if err == nil && len(names) > 0 {
		name := strings.TrimSuffix(names[0], ".")
		back, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err == nil && slices.ContainsFunc(back, func(a netip.Addr) bool { return a.Unmap() == addr }) {
			return name
		}
	}
	return addressTexts(addr)[0]
}

// isThisMachine reports whether addr is loopback or what the machine's own name stands for.
func isThisMachine(ctx context.Context, addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	name, err := os.Hostname()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	own, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	return err == nil && slices.ContainsFunc(own, func(a netip.Addr) bool { return a.Unmap() == addr })
}
