package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sluice-io/sluice/internal/channeltool"
	"github.com/sluice-io/sluice/internal/wal"
)

func toolOptions() []option {
	return []option{
		{short: "l", long: "dataDirs", arg: "DIR[,DIR...]", doc: "the data directories of a file channel whose agent is stopped (required)"},
		{short: "e", long: "eventValidator", arg: "CLASS", doc: "refused: a Java class"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

const integrityTool = "FCINTEGRITYTOOL"

// runTool is Flume's command tool, which has one tool: it reads data files of a file channel and makes records void that
// cannot be read.
func runTool(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	if len(o.words) == 0 {
		fmt.Fprintf(p.out, "%s checks and repairs the data files of a file channel\n", integrityTool)
		return exit(statusFatal)
	}
	switch {
	case !strings.EqualFold(o.words[0], integrityTool):
		return fmt.Errorf("tool: there is no tool %q; there is %s", o.words[0], integrityTool)
	case len(o.words) > 1:
		return fmt.Errorf("tool: the word %q belongs to no option", o.words[1])
	case o.has("eventValidator"):
		return errors.New("option --eventValidator: a validator is a Java class, which no Go program can run; without it every event that can be read is valid")
	case !o.has("dataDirs"):
		return errors.New("tool: no data directories were given: -l DIR[,DIR...]")
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	var dirs []string
	for dir := range strings.SplitSeq(o.get("dataDirs"), ",") {
		if dir = strings.TrimSpace(dir); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	if l.dry {
		fmt.Fprintf(p.out, "would check the data files in %s\n", strings.Join(dirs, ", "))
		return nil
	}
	if err := channeltool.InUse(&wal.Options{DataDirs: dirs}); err != nil {
		return err
	}
	in, err := channeltool.CheckIntegrity(dirs)
	for _, d := range in.Aside {
		fmt.Fprintf(p.err, "made void: %s; what stood there is in %s\n", channeltool.Place(d), filepath.Join(channeltool.QuarantineOf(filepath.Dir(d.Path)), "quarantine.jsonl"))
	}
	if err != nil {
		return err
	}
	in.Summary(p.out, p.err)
	return nil
}
