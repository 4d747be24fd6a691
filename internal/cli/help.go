package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// width is the width of the text that help prints.
const width = 100

// runHelp describes the program, a command, a family of components or one type.
func runHelp(p *program, _ *command, l *launch) error {
	if len(l.args) == 0 {
		p.usage(p.out)
		return nil
	}
	all := commands()
	for i := range all {
		if c := &all[i]; len(l.args) == 1 && c.refused == "" && c.name == l.args[0] {
			return p.describe(c)
		}
	}
	return p.explain(strings.Join(l.args, " "))
}

func (p *program) usage(w io.Writer) {
	fmt.Fprintf(w, "usage: %s COMMAND [options]\n\n", p.name)
	for _, c := range commands() {
		if c.refused == "" {
			fmt.Fprintf(w, "  %-11s %s\n", c.name, c.summary)
		}
	}
	fmt.Fprintf(w, `
  %[1]s agent -n a1 -f flume.conf     runs the agent a1 of a Flume configuration
  %[1]s check flume.conf              says what is wrong with it, line by line
  %[1]s help agent                    lists the options of a command
  %[1]s help components               lists every type; help sinks, those of a kind
  %[1]s help kafka-sink               describes a type and its settings
`, p.name)
}

// describe prints the manual of a command.
func (p *program) describe(c *command) error {
	fmt.Fprintf(p.out, "usage: %s\n\n%s\n", strings.TrimSpace(p.name+" "+c.name+" "+c.usage), c.summary)
	if len(c.actions) > 0 {
		fmt.Fprintln(p.out)
	}
	for _, a := range c.actions {
		p.entry(a.name, a.doc)
	}
	if c.statuses != "" {
		fmt.Fprintf(p.out, "\nexit status: %s\n", c.statuses)
	}
	if len(c.options) > 0 {
		fmt.Fprintln(p.out)
	}
	for i := range c.options {
		o := &c.options[i]
		var names []string
		if o.short != "" {
			names = append(names, "-"+o.short)
		}
		if o.long != "" {
			names = append(names, "--"+o.long)
		}
		p.entry(strings.TrimSpace(strings.Join(names, ", ")+" "+o.arg), o.doc)
	}
	fmt.Fprintln(p.out, "\nfor every command, anywhere on the line:")
	p.entry("-c, --conf DIR", "the configuration directory: flume-env.sh and flume.opts are read from it")
	p.entry("-Dname=value", "a system property, such as flume.root.logger=INFO,console or flume.monitoring.type=http")
	p.entry("-d, --dryrun", "say what would be run and do not run it")
	p.entry("-C, --classpath, --plugins-path, -X...", "accepted for the sake of scripts; there is no JVM")
	return nil
}

// entry prints a term and, indented below, its meaning.
func (p *program) entry(term, text string) {
	fmt.Fprintf(p.out, "  %s\n", term)
	for _, line := range wrap(text, width-6) {
		fmt.Fprintf(p.out, "      %s\n", line)
	}
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// A page is what help knows of one type.
type page struct {
	family   string // sink
	typ      string
	class    string
	also     []string
	summary  string
	absent   string
	unlisted bool
	manual   func() conf.Manual
}

// family is how the words of the help call a kind of component, in the order of the list.
type family struct{ name, plural string }

func families() []family {
	return []family{{"source", "sources"}, {"interceptor", "interceptors"}, {"selector", "selectors"}, {"channel", "channels"},
		{"sink", "sinks"}, {"sinkgroup", "sinkgroups"}, {"configfilter", "configfilters"}}
}

func pages(kit agent.Kit) []page {
	out := appendPages(nil, "source", kit.Sources)
	out = appendPages(out, "interceptor", kit.Interceptors)
	out = appendPages(out, "selector", kit.Selectors)
	out = appendPages(out, "channel", kit.Channels)
	out = appendPages(out, "sink", kit.Sinks)
	out = appendPages(out, "sinkgroup", kit.SinkProcessors)
	for _, k := range kit.ConfigFilters {
		out = append(out, page{family: "configfilter", typ: k.Type, class: k.Class, summary: k.Summary, absent: k.Absent,
			manual: k.Manual})
	}
	return out
}

func appendPages[C any](out []page, family string, kinds []flume.Kind[C]) []page {
	for _, k := range kinds {
		out = append(out, page{family: family, typ: k.Type, class: k.Class, also: k.Also, summary: k.Summary, absent: k.Absent,
			unlisted: k.Unlisted, manual: k.Manual})
	}
	return out
}

// explain finds what a word means: a family, a class, a type, or type and family as kafka-sink, "kafka sink", "sink kafka".
func (p *program) explain(word string) error {
	all := pages(p.kit)
	for _, f := range families() {
		if word == "components" || strings.EqualFold(word, f.plural) || strings.EqualFold(word, f.name) {
			p.list(all, word)
			return nil
		}
	}
	var found []page
	var names []string
	for _, g := range all {
		names = append(names, g.typ, g.typ+"-"+g.family)
		if g.means(word) {
			found = append(found, g)
		}
	}
	for i, g := range found {
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		p.page(g)
	}
	if len(found) > 0 {
		return nil
	}
	if near := conf.Nearest(word, names); near != "" {
		return fmt.Errorf("help: nothing is called %q; did you mean %q?", word, near)
	}
	return fmt.Errorf("help: nothing is called %q; all types are listed by: %s help components", word, p.name)
}

func (g page) means(word string) bool {
	if word == g.class || slices.Contains(g.also, word) {
		return true
	}
	if g.typ == "" {
		return false
	}
	plain := strings.NewReplacer(" ", "-", "_", "-")
	word = plain.Replace(strings.ToLower(word))
	typ := plain.Replace(strings.ToLower(g.typ))
	return word == typ || word == typ+"-"+g.family || word == g.family+"-"+typ
}

func (p *program) list(all []page, word string) {
	first := true
	for _, f := range families() {
		if word != "components" && !strings.EqualFold(word, f.plural) && !strings.EqualFold(word, f.name) {
			continue
		}
		if !first {
			fmt.Fprintln(p.out)
		}
		first = false
		fmt.Fprintf(p.out, "%s:\n", f.plural)
		for _, g := range all {
			if g.family == f.name && g.absent == "" {
				fmt.Fprintf(p.out, "  %-20s %s\n", g.title(), g.summary)
			}
		}
		var absent []string
		for _, g := range all {
			if g.family == f.name && g.absent != "" {
				absent = append(absent, g.title())
			}
		}
		for i, line := range wrap(strings.Join(absent, ", "), width-6) {
			if i == 0 {
				fmt.Fprintf(p.out, "  known and refused (%s help TYPE says why):\n", p.name)
			}
			fmt.Fprintf(p.out, "    %s\n", line)
		}
	}
}

func (g page) title() string {
	if g.typ == "" {
		return g.class
	}
	return g.typ
}

func (p *program) page(g page) {
	fmt.Fprintf(p.out, "%s (%s)\n", g.title(), g.family)
	for _, line := range wrap(g.summary, width) {
		fmt.Fprintln(p.out, line)
	}
	if g.class != "" {
		fmt.Fprintf(p.out, "Flume's class: %s\n", strings.Join(append([]string{g.class}, g.also...), ", "))
	}
	switch {
	case g.unlisted && g.class == "":
		fmt.Fprintln(p.out, "Flume does not have it.")
	case g.unlisted:
		fmt.Fprintf(p.out, "%s is a name of Sluice's; Flume knows the class only.\n", g.typ)
	}
	if g.absent != "" {
		if g.absent != g.summary {
			fmt.Fprintf(p.out, "It cannot be used: %s\n", g.absent)
		}
		return
	}
	m := g.manual()
	common := agent.CommonSettings(g.family)
	if len(m.Settings)+len(m.Prefixes)+len(common) == 0 {
		return
	}
	fmt.Fprintln(p.out)
	for _, s := range m.Settings {
		p.entry(s.Key+"  ("+traits(s)+")", s.Doc)
	}
	for _, f := range m.Prefixes {
		p.entry(f.Prefix+"*", f.Doc)
	}
	for _, c := range common {
		term := c.Key
		if c.Type != "" {
			term += "  (" + c.Type + "; default " + c.Default + ")"
		}
		p.entry(term, c.Doc)
	}
}

// traits are what a reader wants to know of a setting besides its meaning.
func traits(s *conf.Setting) string {
	parts := []string{s.Type}
	if s.IsRequired() {
		parts = append(parts, "required")
	}
	if s.Default != "" && !s.IsRequired() {
		parts = append(parts, "default "+s.Default)
	}
	if len(s.Others) > 0 {
		parts = append(parts, "also "+strings.Join(s.Others, ", "))
	}
	if len(s.Olds) > 0 {
		parts = append(parts, "old name "+strings.Join(s.Olds, ", "))
	}
	return strings.Join(parts, "; ")
}
