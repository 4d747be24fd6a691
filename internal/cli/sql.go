package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

const prepareAction = "prepare"

func sqlActions() []action {
	return []action{{prepareAction, "prints the statements that make the tables of an agent's sql sinks; with --create runs them"}}
}

func sqlOptions() []option {
	return []option{
		{short: "f", long: "conf-file", arg: "FILE", doc: "the configuration (required, repeatable)"},
		{short: "n", long: "name", arg: "NAME", doc: "the agent, where the configuration has several"},
		{long: "sink", arg: "NAME", doc: "this sink alone"},
		{long: "table", arg: "NAME", doc: "the table, where sql.table depends on events"},
		{long: "create", doc: "make the tables that are not there, and say what the others lack"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// A preparing is what settings are whose sink needs tables.
type preparing interface {
	// Tables are the statements that make them.
	Tables(table string) ([]string, error)
	// Create runs them.
	Create(ctx context.Context, statements []string) error
	// Compare writes what the tables lack all the same; false: something.
	Compare(ctx context.Context, table string, out io.Writer) (bool, error)
}

// runSQL looks after the tables that sinks write to.
func runSQL(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	switch {
	case len(o.words) == 0:
		return fmt.Errorf("sql: what is to be done? %s", prepareAction)
	case o.words[0] != prepareAction:
		return fmt.Errorf("sql: %q is not %s", o.words[0], prepareAction)
	case len(o.words) > 1:
		return fmt.Errorf("sql: the word %q belongs to no option", o.words[1])
	case !o.has("conf-file"):
		return errors.New("sql: no configuration was given: -f FILE")
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	sinks, err := p.preparingSinks(&o, l)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	good := true
	for _, s := range sinks {
		statements, err := s.settings.Tables(o.get("table"))
		if err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		fmt.Fprintf(p.out, "-- %s\n%s;\n", s.path, strings.Join(statements, ";\n"))
		if !o.has("create") || l.dry {
			continue
		}
		if err := s.settings.Create(ctx, statements); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		complete, err := s.settings.Compare(ctx, o.get("table"), p.err)
		if err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		good = good && complete
	}
	if !good {
		return exit(statusFatal)
	}
	return nil
}

type preparingSink struct {
	path     string
	settings preparing
}

// preparingSinks finds the sinks in a configuration.
func (p *program) preparingSinks(o *options, l *launch) ([]preparingSink, error) {
	files := o.values["conf-file"]
	cfg, problems, err := p.read(files, o.get("name"), l)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range cfg.Agents {
		names = append(names, a.Name)
	}
	name := o.get("name")
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return nil, fmt.Errorf("%s has the agents %s; which one? -n NAME", strings.Join(files, ", "), conf.QuoteNames(names))
	}
	if err := hasAgent([]*conf.Config{cfg}, [][]string{files}, name); err != nil {
		return nil, err
	}
	var found []preparingSink
	names = nil
	for _, sec := range cfg.Agent(name).Sinks {
		typ, _ := sec.Get("type")
		at := slices.IndexFunc(p.kit.Sinks, func(k flume.Kind[flume.Sink]) bool { return k.Is(typ.Text) })
		if at < 0 {
			continue
		}
		sec = sec.Fresh()
		sec.Get("type")
		sec.Get("channel")
		plan, wrong := p.kit.Sinks[at].Bind(sec)
		settings, ok := plan.Settings.(preparing)
		if !ok {
			continue
		}
		names = append(names, sec.Name)
		if only := o.get("sink"); only != "" && only != sec.Name {
			continue
		}
		for _, problem := range append(problems, wrong...) {
			if problem.Severity == conf.Fatal && (problem.Subject == sec.Path("") || strings.HasPrefix(problem.Subject, sec.Path("")+".")) {
				return nil, errors.New(problem.String())
			}
		}
		found = append(found, preparingSink{sec.Path(""), settings})
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("agent %s of %s has no sql sink", name, strings.Join(files, ", "))
	case len(found) == 0:
		return nil, fmt.Errorf("agent %s has no sql sink %q; it has %s", name, o.get("sink"), conf.QuoteNames(names))
	}
	return found, nil
}
