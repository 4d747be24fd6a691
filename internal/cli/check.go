package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
)

func checkOptions() []option {
	return []option{
		{short: "n", long: "name", arg: "NAME", doc: "check that the configuration has this agent, and give the verdict for it alone"},
		{short: "f", long: "conf-file", arg: "FILE", doc: "files given this way are read as one configuration, as the agent would (repeatable)"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// runCheck prints every problem of every file in the order of the files, then one verdict for each agent.
func runCheck(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	var sets [][]string // each is one configuration
	if files := o.values["conf-file"]; len(files) > 0 {
		sets = append(sets, files)
	}
	for _, file := range o.words {
		sets = append(sets, []string{file})
	}
	if len(sets) == 0 {
		return errors.New("no file to check; give one or more: " + p.name + " check flume.conf")
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	var configs []*conf.Config
	var problems conf.Problems
	for _, files := range sets {
		cfg, found, err := p.read(files, o.get("name"), l)
		if err != nil {
			problems = append(problems, conf.Problem{Severity: conf.Fatal, Text: err.Error()})
			continue
		}
		configs = append(configs, cfg)
		problems = append(problems, found...)
	}
	if name := o.get("name"); name != "" {
		if err := hasAgent(configs, sets, name); err != nil {
			problems = append(problems, conf.Problem{Severity: conf.Fatal, Text: err.Error()})
		}
	}
	problems = append(problems, agent.Check(p.kit, configs, l.properties.lookup)...)
	problems.Sort()
	io.WriteString(p.out, problems.String())
	for _, cfg := range configs {
		for _, a := range cfg.Agents {
			if name := o.get("name"); name == "" || name == a.Name {
				fmt.Fprintln(p.out, conf.Problem{Text: p.verdict(a, problems, l)}) // printable, whatever the name is
			}
		}
	}
	if n := problems.Wrong(); n > 0 {
		fmt.Fprintf(p.out, "%s\n", count(n, "problem"))
		return exit(statusFatal)
	}
	return nil
}

// verdict says whether an agent would run and what would be missing.
func (p *program) verdict(a *conf.Agent, problems conf.Problems, l *launch) string {
	runs, _ := agent.New(a, agent.Options{Kit: p.kit, Log: slog.New(slog.DiscardHandler), Property: l.properties.lookup})
	if runs == nil {
		return fmt.Sprintf("agent %s would not run", a.Name)
	}
	var missing []string
	for _, sections := range [][]*conf.Section{a.Sources, a.Channels, a.Sinks, a.SinkGroups} {
		for _, s := range sections {
			if isLost(s.Path(""), problems) || s.Group == "sinks" && !runs.HasSink(s.Name) {
				missing = append(missing, s.Group+"."+s.Name)
			}
		}
	}
	if len(missing) == 0 {
		return fmt.Sprintf("agent %s would run", a.Name)
	}
	return fmt.Sprintf("agent %s would run without %s", a.Name, strings.Join(missing, ", "))
}

func isLost(component string, problems conf.Problems) bool {
	for _, p := range problems {
		if p.Severity == conf.Fatal && (p.Subject == component || strings.HasPrefix(p.Subject, component+".")) {
			return true
		}
	}
	return false
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
