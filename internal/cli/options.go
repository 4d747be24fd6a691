package cli

import (
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// An option is one that a command takes. Its names carry no dashes.
type option struct {
	short, long string
	arg         string // what the manual calls its argument; empty: it takes none
	doc         string
}

// name is how messages call the option.
func (o *option) name() string {
	switch {
	case o.long == "":
		return "-" + o.short
	case o.short == "":
		return "--" + o.long
	}
	return "-" + o.short + " (--" + o.long + ")"
}

// id is the name that values are kept under: the long one if there is one.
func (o *option) id() string {
	if o.long != "" {
		return o.long
	}
	return o.short
}

// options are values by id, and the words that belong to none.
type options struct {
	values map[string][]string
	words  []string
}

// get returns the first value, as Flume does.
func (o *options) get(id string) string {
	if v := o.values[id]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (o *options) has(id string) bool { return len(o.values[id]) > 0 }

// parseOptions takes every spelling that Flume's parser takes, in its order of precedence:
//
//	-n a1   -n=a1   -na1   -user u   --name a1   --name=a1   -name a1   -name=a1   --conf-f x (an unambiguous beginning)
//
// A token that spells an option is never a value. Words after -- are words.
func parseOptions(known []option, args []string) (options, error) {
	p := optionParser{known: known, out: options{values: map[string][]string{}}}
	for i, token := range args {
		if token == "--" && p.open == nil {
			p.out.words = append(p.out.words, args[i+1:]...)
			break
		}
		if err := p.token(token); err != nil {
			return options{}, err
		}
	}
	return p.out, p.complete()
}

type optionParser struct {
	known []option
	out   options
	open  *option // still waits for its argument
}

func (p *optionParser) token(token string) error {
	if p.open != nil && !p.spells(token) {
		p.value(strings.Trim(token, `"`))
		return nil
	}
	if err := p.complete(); err != nil {
		return err
	}
	body, dashed := strings.CutPrefix(token, "-")
	if !dashed || body == "" {
		p.out.words = append(p.out.words, token)
		return nil
	}
	long, twice := strings.CutPrefix(body, "-")
	key, value, assigned := strings.Cut(long, "=")
	var o *option
	if !twice {
		o = p.short(key)
	}
	if o == nil {
		var err error
		if o, err = p.long(token, key); err != nil {
			return err
		}
	}
	if o == nil && !twice {
		return p.joined(token, body)
	}
	switch {
	case o == nil:
		return p.unknown(token)
	case assigned && o.arg == "":
		return fmt.Errorf("option %s takes no value", o.name())
	case assigned:
		p.open = o
		p.value(value)
	default:
		p.start(o)
	}
	return nil
}

// joined reads -na1, -namea1 and flags in a row.
func (p *optionParser) joined(token, body string) error {
	for n := len(body) - 1; n > 1; n-- {
		for i := range p.known {
			if o := &p.known[i]; o.long == body[:n] && o.arg != "" {
				p.open = o
				p.value(body[n:])
				return nil
			}
		}
	}
	for n := range len(body) {
		o := p.short(body[n : n+1])
		if o == nil {
			return p.unknown(token)
		}
		if o.arg != "" && n+1 < len(body) {
			p.open = o
			p.value(strings.TrimPrefix(body[n+1:], "="))
			return nil
		}
		if err := p.complete(); err != nil {
			return err
		}
		p.start(o)
	}
	return nil
}

func (p *optionParser) start(o *option) {
	if o.arg == "" {
		p.out.values[o.id()] = append(p.out.values[o.id()], "true")
		return
	}
	p.open = o
}

func (p *optionParser) value(v string) {
	p.out.values[p.open.id()] = append(p.out.values[p.open.id()], v)
	p.open = nil
}

func (p *optionParser) complete() error {
	if p.open == nil {
		return nil
	}
	return fmt.Errorf("option %s needs a value: %s", p.open.name(), p.open.arg)
}

func (p *optionParser) short(key string) *option {
	for i := range p.known {
		if o := &p.known[i]; key != "" && o.short == key {
			return o
		}
	}
	return nil
}

// long finds an option by its long name or an unambiguous beginning of it.
func (p *optionParser) long(token, key string) (*option, error) {
	var found []*option
	for i := range p.known {
		o := &p.known[i]
		if o.long == key && key != "" {
			return o, nil
		}
		if key != "" && strings.HasPrefix(o.long, key) {
			found = append(found, o)
		}
	}
	if len(found) > 1 {
		names := make([]string, len(found))
		for i, o := range found {
			names[i] = "--" + o.long
		}
		return nil, fmt.Errorf("option %s can mean %s", token, strings.Join(names, ", "))
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// spells reports whether a token can only be meant as an option.
func (p *optionParser) spells(token string) bool {
	body, dashed := strings.CutPrefix(token, "-")
	if !dashed || body == "" {
		return false
	}
	key, _, _ := strings.Cut(strings.TrimPrefix(body, "-"), "=")
	if o, err := p.long(token, key); o != nil || err != nil {
		return true
	}
	return !strings.HasPrefix(body, "-") && (p.short(key) != nil || p.short(key[:min(1, len(key))]) != nil)
}

func (p *optionParser) unknown(token string) error {
	key, _, _ := strings.Cut(strings.TrimLeft(token, "-"), "=")
	names := make([]string, len(p.known))
	for i := range p.known {
		names[i] = p.known[i].id()
	}
	if near := conf.Nearest(key, names); near != "" {
		return fmt.Errorf("option %s is not known; did you mean --%s?", token, near)
	}
	return fmt.Errorf("option %s is not known", token)
}
