// Package cli is the command line of sluice, which also answers to flume-ng and takes what flume-ng takes.
//
//	arguments ─▶ launcher (-c -D …, flume-env.sh) ─▶ options of the command (and flume.opts) ─▶ command
//
// What the launcher script of Flume reads may stand anywhere on the line and is read first; the command gets the rest.
// No shell is run: flume-env.sh is read for its assignments. A line that cannot be obeyed ends with one message on
// stderr and status 1; what Flume takes and Sluice has no use for is named in a warning and ignored.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
)

// Exit statuses. A process that a signal has stopped in order ends with 128 and the signal's number, as a JVM does.
const (
	statusOK    = 0
	statusFatal = 1
)

// program is what the commands share.
type program struct {
	kit     agent.Kit
	name    string // the name that the program was called by
	in      io.Reader
	out     io.Writer
	err     io.Writer
	environ func(name string) (string, bool)
}

// A command is the first word of the line.
type command struct {
	name, also string
	usage      string
	summary    string
	actions    []action // of which the first word of the arguments is one; nil: it has none
	statuses   string   // what its exit statuses say, where that is more than 0 and 1
	options    []option
	run        func(p *program, c *command, l *launch) error
	refused    string // not empty: Flume has it, and this says what to do instead
}

// An action is one of several things that a command does.
type action struct{ name, doc string }

// commands lists all of them, in the order of the help.
func commands() []command {
	return []command{
		{name: "agent", also: "node", usage: "-n NAME -f FILE [-c DIR] [-Dname=value]", summary: "Runs an agent.", options: agentOptions(), run: runAgent},
		{name: "check", usage: "FILE...", summary: "Reports everything that is wrong with configurations; runs nothing.", options: checkOptions(), run: runCheck},
		{name: "channel", usage: "inspect|verify|repair|drain|export DIR...", summary: "Looks at a file channel, repairs it, takes its events out.",
			actions: channelActions(), statuses: "0 done, and nothing is damaged; 1 damage was found, or events were set aside; 2 it could not be done", options: channelOptions(), run: runChannel},
		{name: "deadletter", usage: "list|show|replay|remove [DIR...]", summary: "Lists events that were set aside, and replays or removes them.",
			actions: letterActions(), statuses: "0 done; 1 some letters stay that were chosen, or cannot be read; 2 it could not be done", options: letterOptions(), run: runLetters},
		{name: "sql", usage: "prepare -f FILE [-n NAME]", summary: "Prints or makes the tables that sql sinks write to.", actions: sqlActions(), options: sqlOptions(), run: runSQL},
		{name: "hdfs", usage: "orphans -f FILE [-n NAME] [--adopt]", summary: "Finds the files in use that HDFS sinks have left, and closes them.",
			actions: hdfsActions(), options: hdfsOptions(), run: runHDFS},
		{name: "tool", usage: "FCINTEGRITYTOOL -l DIR[,DIR...]", summary: "Flume's integrity tool: checks the data files of a file channel.", options: toolOptions(), run: runTool},
		{name: "help", usage: "[COMMAND | KIND | TYPE]", summary: "Describes commands and components: help sinks, help kafka-sink.", run: runHelp},
		{name: "version", summary: "Prints the version.", run: runVersion},
		{name: "demo", usage: "[--brokers HOST:PORT]", summary: "Moves events through two agents and counts what arrives.", options: demoOptions(), run: runDemo},
		{name: "send", usage: "--avro HOST:PORT [FILE|DIR|-]...", summary: "Sends lines as events: of files, of directories, of the standard input.",
			statuses: "0 all was delivered; 1 it was not; 2 with --spool: all is safe in the buffer, and not all is delivered", options: sendOptions(), run: runSend},
		{name: "avro-client", usage: "-H HOST -p PORT [-F FILE]", summary: "Flume's command: sends lines as events to an avro source.", options: avroClientOptions(), run: runAvroClient},
		{name: "password", refused: "is no command, and none of Flume since 1.9"},
	}
}

// exit ends the program with a status of its own and no message.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// A failure ends the program with a message and a status of its own.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Main obeys a command line, given without the program's name, and returns the exit status.
func Main(kit agent.Kit, args []string) int {
	p := &program{kit: kit, name: filepath.Base(os.Args[0]), in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.LookupEnv}
	return p.main(args)
}

func (p *program) main(args []string) int {
	err := p.obey(args)
	var status exit
	switch {
	case err == nil:
		return statusOK
	case errors.As(err, &status):
		return int(status)
	}
	fmt.Fprintf(p.err, "%s: %v\n", p.name, err)
	var failed *failure
	if errors.As(err, &failed) {
		return failed.status
	}
	return statusFatal
}

func (p *program) obey(args []string) error {
	if len(args) == 0 {
		p.usage(p.err)
		return exit(statusFatal)
	}
	name, args := args[0], args[1:]
	switch name {
	case "-h", "--help", "-help":
		name = "help"
	case "--version", "-version":
		name = "version"
	}
	var names []string
	all := commands()
	for i := range all {
		c := &all[i]
		if c.name != name && (c.also == "" || c.also != name) {
			names = append(names, c.name)
			continue
		}
		if c.refused != "" {
			return fmt.Errorf("%s %s", c.name, c.refused)
		}
		l, err := readLaunch(args, p.environ)
		if err != nil {
			return err
		}
		if name == c.also {
			l.warn("%s is an old name of the command %s", c.also, c.name)
		}
		return c.run(p, c, l)
	}
	hint := "; the commands are listed by: " + p.name + " help"
	if near := conf.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("no command %q%s", name, hint)
}
