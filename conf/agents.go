package conf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The five lists of an agent, in the order in which they are looked at: filters first, as the others' values need them.
const (
	configFilters = "configfilters"
	channels      = "channels"
	sources       = "sources"
	sinks         = "sinks"
	sinkGroups    = "sinkgroups"
)

func groups() []string { return []string{configFilters, channels, sources, sinks, sinkGroups} }

// A draft is an agent before its lists are read.
type draft struct {
	name    string
	pos     Pos // of its first line
	lists   map[string]*property
	parts   map[string][]*part // per group, in the order of their first lines
	byName  map[string]*part   // the same, by GROUP.NAME
	strays  []stray
	size    int // keys
	filters map[string]*openFilter
}

// A part is a component as the keys have it, listed or not.
type part struct {
	name  string
	props []setting
}

type setting struct {
	key string
	*property
}

// A stray is a key of an agent that is none of Flume's.
type stray struct {
	rest string // behind the agent
	*property
}

// place sorts the keys into agents.
func (r *reading) place() {
	for _, p := range r.props {
		name, rest, _ := strings.Cut(p.key, ".")
		if name == "" || rest == "" {
			r.outside(p)
			continue
		}
		if p.referred && !grammatical(rest) {
			if p.fault != "" {
				r.report(Warning, p, p.fault)
			}
			continue // a value for others, such as base.dir
		}
		d := r.agent(name, p.pos)
		d.size++
		if slices.Contains(groups(), rest) {
			d.lists[rest] = p
			continue
		}
		if !grammatical(rest) {
			d.strays = append(d.strays, stray{rest, p})
			continue
		}
		group, rest, _ := strings.Cut(rest, ".")
		component, key, _ := strings.Cut(rest, ".")
		c := d.part(group, component)
		c.props = append(c.props, setting{key, p})
	}
}

// grammatical reports whether what stands behind the agent is a list or GROUP.NAME.KEY.
func grammatical(rest string) bool {
	group, rest, dotted := strings.Cut(rest, ".")
	if !slices.Contains(groups(), group) {
		return false
	}
	if !dotted {
		return true
	}
	name, key, _ := strings.Cut(rest, ".")
	return name != "" && key != ""
}

// outside warns of a key that is no agent's.
func (r *reading) outside(p *property) {
	switch {
	case p.fault != "":
		r.report(Warning, p, p.fault)
	case p.referred:
	case strings.HasPrefix(p.key, "//") || strings.HasPrefix(p.key, ";"):
		r.report(Warning, p, "is read as a key and ignored; a comment begins with #")
	case strings.ContainsAny(p.key, "./-"):
		r.report(Warning, p, "is not a key of an agent (AGENT.sources, AGENT.sinks.NAME.KEY …); the line is ignored")
	default:
		r.report(Warning, p, fmt.Sprintf("belongs to no agent and no value uses it as ${%s}; keys are AGENT.sources, AGENT.sinks.NAME.KEY …", p.key))
	}
}

func (r *reading) agent(name string, pos Pos) *draft {
	d := r.byName[name]
	if d == nil {
		d = &draft{name: name, pos: pos, lists: map[string]*property{}, parts: map[string][]*part{}, byName: map[string]*part{}, filters: map[string]*openFilter{}}
		r.byName[name] = d
		r.agents = append(r.agents, d)
	}
	return d
}

func (d *draft) part(group, name string) *part {
	c := d.byName[group+"."+name]
	if c == nil {
		c = &part{name: name}
		d.byName[group+"."+name] = c
		d.parts[group] = append(d.parts[group], c)
	}
	return c
}

// running returns the agents. One that lists nothing, beside one that does, is a misspelling and not among them.
func (r *reading) running() []*draft {
	listing := slices.ContainsFunc(r.agents, func(d *draft) bool { return len(d.lists) > 0 })
	var out []*draft
	for _, d := range r.agents {
		if len(d.lists) > 0 || !listing {
			out = append(out, d)
		}
	}
	for _, d := range r.agents {
		if d.lists[channels] != nil || !listing {
			continue
		}
		var others []string
		for _, o := range r.agents {
			if o.lists[channels] != nil {
				others = append(others, o.name)
			}
		}
		near := Nearest(d.name, others)
		name := shorten(d.name, 60)
		text := fmt.Sprintf("agent %s lists no channels", name)
		if len(d.lists) == 0 {
			text = fmt.Sprintf("agent %s lists no sources, channels or sinks, so what is set for it (%s) is ignored", name, count(d.size, "key"))
			if near == "" {
				text += "; the agents are " + QuoteNames(others)
			}
		} else if near == "" {
			continue // an agent of its own; whoever runs it is told
		}
		if near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		r.problems = append(r.problems, Problem{Pos: d.pos, Subject: d.name, Text: text, Severity: Warning})
	}
	return out
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// assemble makes an agent of a draft.
func (r *reading) assemble(d *draft) *Agent {
	a := &Agent{Name: d.name, Pos: d.pos}
	for _, s := range d.strays {
		r.stray(d, s)
	}
	for _, group := range groups() {
		sections := r.sections(d, group)
		switch group {
		case configFilters:
			for _, sec := range sections {
				d.filters[sec.Name] = r.bindFilter(sec)
			}
		case channels:
			a.Channels = sections
		case sources:
			a.Sources = sections
		case sinks:
			a.Sinks = sections
		case sinkGroups:
			a.SinkGroups = sections
		}
	}
	return a
}

// stray warns of a key that is not a setting of an agent.
func (r *reading) stray(d *draft, s stray) {
	text := "is not a setting of an agent"
	group, rest, _ := strings.Cut(s.rest, ".")
	switch {
	case slices.Contains(groups(), group):
		text = fmt.Sprintf("names no setting; keys are %s.%s.NAME.KEY", d.name, group)
	case group == "interceptors" || group == "interceptor" || group == "selector":
		text += fmt.Sprintf("; it belongs to a source: %s.sources.NAME.%s", d.name, s.rest)
	case group == "processor":
		text += fmt.Sprintf("; it belongs to a sink group: %s.sinkgroups.NAME.%s", d.name, s.rest)
	default:
		if near := Nearest(group, groups()); near != "" {
			text += fmt.Sprintf("; did you mean %q?", strings.TrimSuffix(d.name+"."+near+"."+rest, "."))
			break
		}
		for _, g := range groups() {
			if p := d.lists[g]; p != nil && p.fault == "" && slices.Contains(words(p.text), group) && rest != "" {
				text += fmt.Sprintf("; did you mean %q?", d.name+"."+g+"."+s.rest)
				break
			}
		}
	}
	r.report(Warning, s.property, text)
}

// words cuts a list of names.
func words(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
}

// names reads one of the five lists.
func (r *reading) names(d *draft, group string) []string {
	p := d.lists[group]
	if p == nil {
		return nil
	}
	if len(p.tokens) > 0 && p.fault == "" {
		p.fault = "config filters are not applied to the lists of components"
	}
	switch {
	case p.fault != "":
		r.report(Fatal, p, p.fault)
		return nil
	case p.text == "":
		r.report(Warning, p, "is empty: as if it were not set")
		return nil
	case strings.Contains(p.text, ","):
		r.report(Warning, p, "the names of a list are separated by blanks; the commas are taken as blanks here, Flume takes them as part of the names")
	}
	var out []string
	seen := map[string]bool{}
	comment := false
	for _, name := range words(p.text) {
		comment = comment || strings.HasPrefix(name, "#")
		switch {
		case comment && d.byName[group+"."+name] == nil:
			// text meant as a comment, which has been warned of
		case seen[name]:
			r.report(Warning, p, fmt.Sprintf("names %q more than once", name))
		default:
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// sections makes the listed components of a group.
func (r *reading) sections(d *draft, group string) []*Section {
	listed := r.names(d, group)
	var out []*Section
	for _, name := range listed {
		sec := NewSection(d.name, group, name, d.name+"."+group+"."+name+".", d.lists[group].pos, nil)
		sec.Property, sec.Env = r.options.Property, r.options.Env
		out = append(out, sec)
		c := d.byName[group+"."+name]
		if c == nil {
			sec.fatal = true
			text := "is listed and has no settings"
			if strings.Contains(name, ".") {
				text += "; a name must not have a dot"
			} else if others := d.unlisted(group, listed); len(others) == 1 {
				text += fmt.Sprintf("; did you mean %q, which is not listed?", others[0])
			} else if near := Nearest(name, others); near != "" {
				text += fmt.Sprintf("; did you mean %q, which is not listed?", near)
			}
			r.problems = append(r.problems, sec.Problem(Fatal, "", text))
			continue
		}
		r.fill(d, sec, c)
	}
	if p := d.lists[group]; p != nil && p.fault != "" {
		return nil // which components are meant cannot be said
	}
	for _, c := range d.parts[group] {
		if !slices.Contains(listed, c.name) {
			r.reportUnlisted(d, group, c, listed)
		}
	}
	return out
}

func (d *draft) unlisted(group string, listed []string) []string {
	var out []string
	for _, c := range d.parts[group] {
		if !slices.Contains(listed, c.name) {
			out = append(out, c.name)
		}
	}
	return out
}

// reportUnlisted warns, once, of a component that is configured and not listed.
func (r *reading) reportUnlisted(d *draft, group string, c *part, listed []string) {
	list := d.name + "." + group
	text := fmt.Sprintf("is configured and not listed in %s, so it does not run", list)
	if d.lists[group] == nil {
		text = fmt.Sprintf("is configured, but there is no list %s, so it does not run", list)
	}
	bare := slices.DeleteFunc(slices.Clone(listed), func(name string) bool { return d.byName[group+"."+name] != nil })
	near := Nearest(c.name, bare)
	if near == "" && len(bare) == 1 {
		near = bare[0]
	}
	if near == "" {
		near = Nearest(c.name, listed)
	}
	if near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	r.problems = append(r.problems, Problem{Pos: c.props[0].pos, Agent: d.name, Subject: list + "." + c.name, Text: text, Severity: Warning})
}

// fill gives a section its values and reports what is wrong with them whatever the component is.
func (r *reading) fill(d *draft, sec *Section, c *part) {
	for _, s := range c.props {
		if len(s.tokens) > 0 && s.fault == "" {
			if sec.Group == configFilters {
				s.fault = "config filters are not applied to the settings of config filters"
			} else if err := r.filter(d, s.property); err != nil {
				s.fault = err.Error()
			}
		}
		v := Value{Key: s.key, Text: s.text, Pos: s.pos, Fault: s.fault, Secret: s.secret}
		if v.Text == "" && v.Fault == "" {
			sec.empty = append(sec.empty, v)
			continue
		}
		sec.Values = append(sec.Values, v)
		if v.Fault != "" {
			r.problems = append(r.problems, sec.Problem(Fatal, v.Key, v.Fault))
			continue
		}
		if s.open {
			r.problems = append(r.problems, sec.Problem(Warning, v.Key, "has a ${ without its }; the value is taken as it stands"))
		}
		for _, name := range s.shell {
			r.problems = append(r.problems, sec.Problem(Warning, v.Key, fmt.Sprintf("${%s} is no key of this configuration and left to the shell; write $${%s} to say so", name, name)))
		}
	}
	if sec.Group == sinkGroups {
		return
	}
	if _, ok := sec.Values.Get("type"); ok {
		return
	}
	sec.fatal = true
	text := "has no type"
	if _, ok := sec.empty.Get("type"); ok {
		text = "its type is empty"
	} else {
		var keys []string
		for _, v := range sec.Values {
			keys = append(keys, v.Key)
		}
		if near := Nearest("type", keys); near != "" {
			text += fmt.Sprintf("; %q is set", near)
		}
	}
	r.problems = append(r.problems, sec.Problem(Fatal, "", text))
}

// An openFilter is a config filter of an agent. It is opened when a value asks for it.
type openFilter struct {
	kind     FilterKind
	section  *Section
	settings Settings
	filter   Filter
	failed   bool
}

// bindFilter finds the kind of a config filter and reads its settings.
func (r *reading) bindFilter(sec *Section) *openFilter {
	f := &openFilter{section: sec, failed: true}
	if sec.Fatal() {
		return f
	}
	typ, _ := sec.Get("type")
	at := slices.IndexFunc(r.options.Filters, func(k FilterKind) bool { return k.Is(typ.Text) })
	if at < 0 {
		var known []string
		for _, k := range r.options.Filters {
			known = append(known, k.Type)
		}
		text := fmt.Sprintf("there is no config filter type %q", typ.Text)
		if near := Nearest(typ.Text, known); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		} else if len(known) > 0 {
			text += "; there are " + strings.Join(known, ", ")
		}
		r.problems = append(r.problems, sec.Problem(Fatal, "type", text))
		return f
	}
	f.kind = r.options.Filters[at]
	settings, problems := f.kind.bind(sec)
	r.problems = append(r.problems, problems...)
	f.settings, f.failed = settings, problems.Fatal()
	return f
}

// filter replaces the config filter tokens of p's value.
func (r *reading) filter(d *draft, p *property) error {
	if r.options.Agent != "" && r.options.Agent != d.name {
		return nil
	}
	p.secret = true
	var b strings.Builder
	rest := p.text
	for {
		at := strings.Index(rest, "${")
		if at < 0 {
			break
		}
		end := strings.IndexByte(rest[at:], '}')
		if end < 0 {
			break
		}
		token := rest[at+2 : at+end]
		b.WriteString(rest[:at])
		if !slices.Contains(p.tokens, token) {
			b.WriteString("${")
			rest = rest[at+2:]
			continue
		}
		text, err := r.ask(d, token)
		if err != nil {
			var doubt *placedError
			if !errors.As(err, &doubt) || doubt.sev != Warning {
				return err
			}
			r.report(Warning, p, err.Error())
		}
		b.WriteString(text)
		rest = rest[at+end+1:]
	}
	b.WriteString(rest)
	p.text = trim(b.String())
	return nil
}

// ask resolves one token.
func (r *reading) ask(d *draft, token string) (string, error) {
	name, key, _ := cutToken(token)
	f := d.filters[name]
	if f == nil {
		var known []string
		for n := range d.filters {
			known = append(known, n)
		}
		slices.Sort(known)
		hint := ""
		if near := Nearest(name, known); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return "", fmt.Errorf("${%s}: agent %s lists no config filter %q in %s.%s%s", token, d.name, name, d.name, configFilters, hint)
	}
	if f.filter == nil && !f.failed {
		filter, problems := f.kind.start(f.settings, f.section)
		r.problems = append(r.problems, problems...)
		f.filter, f.failed = filter, problems.Fatal()
	}
	if f.failed {
		return "", fmt.Errorf("${%s}: config filter %s cannot be used (see %s)", token, name, f.section.Pos)
	}
	text, err := f.filter.Lookup(key)
	if err != nil {
		err = fmt.Errorf("${%s}: %w", token, err)
	}
	return text, err
}
