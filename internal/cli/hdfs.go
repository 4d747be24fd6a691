package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/conf"
)

const orphansAction = "orphans"

func hdfsActions() []action {
	return []action{
		{orphansAction, "lists the files in use below hdfs.path that have the names of a sink's, whoever has left them; with --adopt those that nobody writes to are closed and renamed"},
	}
}

func hdfsOptions() []option {
	return []option{
		{short: "f", long: "conf-file", arg: "FILE", doc: "the configuration with the sink (required, repeatable)"},
		{short: "n", long: "name", arg: "NAME", doc: "the agent (default: all)"},
		{long: "sink", arg: "NAME", doc: "the sink (default: all HDFS sinks)"},
		{long: "adopt", doc: "take the lease of what was left open, cut it off behind its last whole record, give it its final name"},
		{long: "older", arg: "SECONDS", doc: "leave alone what has changed since then (default: 3600); make sure that its writer is gone before you lower it"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// orphaning is what settings can do of a sink whose killed process leaves files.
type orphaning interface {
	Orphans(ctx context.Context, log *slog.Logger, adopt bool, older time.Duration, each func(file string, bytes int64, modified time.Time, fate string)) error
}

// runHDFS looks for the files that HDFS sinks have left.
func runHDFS(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	switch {
	case len(o.words) != 1 || o.words[0] != orphansAction:
		return fmt.Errorf("hdfs: what is to be done? %s hdfs orphans -f flume.conf", p.name)
	case !o.has("conf-file"):
		return errors.New("hdfs: which sinks? Give the configuration: -f FILE")
	}
	older := time.Hour
	if o.has("older") {
		seconds, err := strconv.ParseUint(o.get("older"), 10, 31)
		if err != nil {
			return fmt.Errorf("option --older: %q is not a number of seconds", o.get("older"))
		}
		older = time.Duration(seconds) * time.Second
	}
	cfg, _, err := p.read(o.values["conf-file"], o.get("name"), l)
	if err != nil {
		return err
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := orphanSearch{program: p, log: slog.New(slog.NewTextHandler(p.err, nil)), adopt: o.has("adopt") && !l.dry, older: older}
	for _, a := range cfg.Agents {
		if name := o.get("name"); name != "" && name != a.Name {
			continue
		}
		for _, sec := range a.Sinks {
			if name := o.get("sink"); name == "" || name == sec.Name {
				if err := s.of(ctx, sec); err != nil {
					return fmt.Errorf("%s: %w", sec.Path(""), err)
				}
			}
		}
	}
	if s.sinks == 0 {
		return errors.New("hdfs: the configuration has no such HDFS sink")
	}
	fmt.Fprintf(p.out, "%s in use\n", count(s.files, "file"))
	return nil
}

type orphanSearch struct {
	*program
	log          *slog.Logger
	adopt        bool
	older        time.Duration
	sinks, files int
}

// of looks for the files of one sink, if it is one that leaves some.
func (s *orphanSearch) of(ctx context.Context, sec *conf.Section) error {
	typ, _ := sec.Get("type")
	for _, k := range s.kit.Sinks {
		if !k.Is(typ.Text) {
			continue
		}
		plan, problems := k.Bind(sec.Fresh())
		settings, ok := plan.Settings.(orphaning)
		if !ok {
			return nil
		}
		if problems.Fatal() {
			return errors.New(problems.String())
		}
		s.sinks++
		return settings.Orphans(ctx, s.log, s.adopt, s.older, func(file string, bytes int64, modified time.Time, fate string) {
			s.files++
			fmt.Fprintf(s.out, "%s  %d bytes, %s: %s\n", file, bytes, modified.Format(time.RFC3339), fate)
		})
	}
	return nil
}
