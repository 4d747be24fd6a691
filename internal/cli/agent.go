package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/logline"
)

func agentOptions() []option {
	return []option{
		{short: "n", long: "name", arg: "NAME", doc: "the agent to run (required)"},
		{short: "f", long: "conf-file", arg: "FILE", doc: "a configuration file; several are read as one, later keys win (repeatable)"},
		{short: "u", long: "conf-uri", arg: "URI", doc: "a configuration as file: or classpath: URI; read before those of -f (repeatable)"},
		{short: "i", long: "poll-interval", arg: "SECONDS", doc: "accepted; changed files are not read again in this version"},
		{long: "no-reload-conf", doc: "accepted; changed files are not read again in this version"},
		{short: "b", long: "backup-directory", arg: "DIR", doc: "accepted; no backup of the configuration is written"},
		{long: "data-dir", arg: "DIR", doc: "where the agent keeps dead letters (default ~/.flume)"},
		{long: "stop-timeout", arg: "SECONDS", doc: "how long an orderly stop may take (default 30)"},
		{long: "strict", doc: "do not start where check finds a problem"},
		{short: "z", long: "zkConnString", arg: "HOSTS", doc: "refused: ZooKeeper"},
		{short: "p", long: "zkBasePath", arg: "PATH", doc: "refused: ZooKeeper"},
		{short: "a", long: "auth-provider", arg: "CLASS", doc: "refused: a Java class"},
		{short: "prov", long: "conf-provider", arg: "CLASS", doc: "refused: a Java class"},
		{short: "user", long: "conf-user", arg: "USER", doc: "accepted; only web servers ask for it"},
		{short: "pwd", long: "conf-password", arg: "PASSWORD", doc: "accepted; only web servers ask for it"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// runAgent runs one agent until a signal stops it.
func runAgent(p *program, c *command, l *launch) error {
	began := time.Now()
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return err
	}
	if o.has("help") {
		return p.describe(c)
	}
	if err := addOptionsFile(&o, c.options, l); err != nil {
		return err
	}
	for _, w := range o.words {
		l.warn("the word %q belongs to no option and is ignored", w)
	}
	run, err := p.plan(&o, l)
	if err != nil {
		return err
	}
	if l.dry {
		p.dryRun(run, l)
		return nil
	}
	for name, value := range l.env {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("exporting %s of flume-env.sh: %w", name, err)
		}
	}
	// A closed terminal must not end an agent that holds events.
	signal.Ignore(syscall.SIGPIPE)
	log, closeLog, err := openLog(p.err, l)
	if err != nil {
		return err
	}
	defer closeLog()
	log = log.With("agent", run.name)
	return p.runAgent(run, l, log, began)
}

// dryRun says what would run and what a start would say of the line.
func (p *program) dryRun(r *run, l *launch) {
	level, _ := logPlan(l)
	if doubt := l.properties.doubtBytes(); doubt != "" {
		l.warn("%s", doubt)
	}
	log := slog.New(logline.New(level, p.err)).With("agent", r.name)
	for _, w := range l.warnings {
		log.Warn(w)
	}
	newMonitoring(l.properties, log) // says what is wrong with it
	fmt.Fprintf(p.out, "would run agent %s of %s\n", r.name, strings.Join(r.files, ", "))
}

// A run is what the line asks the agent command to do.
type run struct {
	name        string
	files       []string
	data        string
	stopTimeout time.Duration
	strict      bool
	wait        time.Duration // look for a missing file again after it; 0: a missing file is fatal
}

func (p *program) plan(o *options, l *launch) (*run, error) {
	for id, why := range map[string]string{
		"zkConnString":  "reading the configuration from ZooKeeper is not in this version; write it to a file and give that with -f",
		"zkBasePath":    "reading the configuration from ZooKeeper is not in this version; write it to a file and give that with -f",
		"conf-provider": "a configuration provider is a Java class, which no Go program can run; give the configuration with -f",
		"auth-provider": "an authorization provider is a Java class, which no Go program can run; give the configuration with -f",
	} {
		if o.has(id) {
			return nil, fmt.Errorf("option --%s: %s", id, why)
		}
	}
	r := &run{name: o.get("name"), strict: o.has("strict"), data: o.get("data-dir"), stopTimeout: 30 * time.Second}
	for _, uri := range o.values["conf-uri"] {
		file, err := fileOf(uri, l.dir)
		if err != nil {
			return nil, err
		}
		r.files = append(r.files, file)
	}
	r.files = append(r.files, o.values["conf-file"]...)
	if len(r.files) == 0 {
		return nil, errors.New("no configuration was given: -f FILE")
	}
	if r.name == "" {
		return nil, errors.New("no agent was named: -n NAME, the word before the first dot of the keys in " + r.files[0])
	}
	if len(o.values["name"]) > 1 {
		l.warn("-n is given %d times; the first, %s, is taken", len(o.values["name"]), r.name)
	}
	if r.data == "" {
		r.data = filepath.Join(l.properties["user.home"], ".flume")
	}
	var poll time.Duration
	for id, d := range map[string]*time.Duration{"stop-timeout": &r.stopTimeout, "poll-interval": &poll} {
		if text := o.get(id); text != "" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("option --%s: %q is not a number of seconds", id, text)
			}
			*d = max(time.Duration(n)*time.Second, time.Millisecond)
		}
	}
	if _, service := l.properties["flume.called.from.service"]; service {
		r.wait = 30 * time.Second
		if poll >= time.Second {
			r.wait = poll
		}
	} else if o.has("poll-interval") && !o.has("no-reload-conf") {
		l.warn("-i %s is not used: changed files are not read again in this version; restart the agent instead", o.get("poll-interval"))
	}
	if dir := o.get("backup-directory"); dir != "" {
		l.warn("-b %s is not used: no backup of the configuration is written", dir)
	}
	return r, nil
}

func (p *program) runAgent(r *run, l *launch, log *slog.Logger, began time.Time) error {
	for _, w := range l.warnings {
		log.Warn(w)
	}
	cfg, problems, err := p.read(r.files, r.name, l)
	for said := false; errors.Is(err, fs.ErrNotExist) && r.wait > 0; said = true {
		if !said {
			log.Warn("waiting for the configuration, for flume.called.from.service is set", "error", err, "again", r.wait)
		}
		if err := pause(r.wait); err != nil {
			return err
		}
		cfg, problems, err = p.read(r.files, r.name, l)
	}
	if err != nil {
		return err
	}
	if len(cfg.Agents) == 0 {
		return errors.New(strings.TrimSpace(problems.String()))
	}
	if err := hasAgent([]*conf.Config{cfg}, [][]string{r.files}, r.name); err != nil {
		return err
	}
	a, found := agent.New(cfg.Agent(r.name), agent.Options{
		Kit: p.kit, Log: log, Property: l.properties.lookup, DataDir: r.data, Files: absolutePaths(r.files), StopTimeout: r.stopTimeout,
	})
	problems = append(problems.Of(r.name), found...)
	problems.Sort()
	for _, problem := range problems {
		level := slog.LevelWarn
		switch problem.Severity {
		case conf.Fatal:
			level = slog.LevelError
		case conf.Note:
			level = slog.LevelInfo
		default:
		}
		log.Log(context.Background(), level, problem.String())
	}
	switch {
	case a == nil:
		return fmt.Errorf("agent %s of %s: nothing of it can run; the lines above say why", r.name, strings.Join(r.files, ", "))
	case r.strict && problems.Wrong() > 0:
		return fmt.Errorf("agent %s of %s: not started, for --strict is given and there is %s", r.name, strings.Join(r.files, ", "), count(problems.Wrong(), "problem"))
	}
	ballast := make([]byte, leastHeap)
	defer runtime.KeepAlive(ballast)
	return serve(a, l, log, began)
}

// leastHeap is what the garbage collector takes the heap for at least. Go collects when the heap has doubled, and an
// agent whose events are soon gone has next to none: it would collect forty times a second. The ballast is never touched,
// so that it has no memory of its own; what the process may hold more is as much garbage.
const leastHeap = 16 << 20

// pause waits, or returns the status that a signal asks for.
func pause(d time.Duration) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	select {
	case s := <-signals:
		return statusOf(s)
	case <-time.After(d):
		return nil
	}
}

// echo is how long after a signal another one is the same request: timeout(1) signals its child and then the group of
// its child, and a terminal's Ctrl-C reaches both a shell script and what it runs. No person is that fast.
const echo = 500 * time.Millisecond

// serve runs an agent until a signal. The first signal stops it in order, a second one at once.
func serve(a *agent.Agent, l *launch, log *slog.Logger, began time.Time) error {
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if s == syscall.SIGTERM || !signal.Ignored(s) { // nohup, or a job in the background
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	page := newMonitoring(l.properties, log)
	defer page.close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	running, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func() { close(running) }) }()
	var first os.Signal
	var asked time.Time
	for {
		select {
		case <-running:
			running = nil
			page.serve(a.Stats().Handler())
			log.Info("running", "after", time.Since(began).Round(time.Millisecond))
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("running the agent: %w", err)
			}
			if first != nil {
				log.Info("stopped")
			}
			return statusOf(first)
		case s := <-signals:
			if first == nil {
				first, asked = s, time.Now()
				log.Info("stopping", "signal", s)
				stop()
				continue
			}
			if time.Since(asked) < echo {
				continue
			}
			log.Warn("stopping at once, for this is the second signal", "signal", s)
			a.Kill()
			select {
			case err := <-ended:
				if err != nil {
					log.Warn("ending at once", "error", err)
				}
			case <-time.After(time.Second):
			}
			return statusOf(first)
		}
	}
}

// statusOf is 143 for SIGTERM and 130 for SIGINT, as after a JVM's orderly stop: service files name them.
func statusOf(s os.Signal) error {
	if number, ok := s.(syscall.Signal); ok {
		return exit(128 + int(number))
	}
	return nil
}

// addOptionsFile adds what flume.opts says, for options that are not on the line: /etc/flume/flume.opts, else the one
// in the configuration directory.
func addOptionsFile(o *options, known []option, l *launch) error {
	paths := []string{"/etc/flume/flume.opts"}
	if l.dir != "" {
		paths = append(paths, filepath.Join(l.dir, "flume.opts"))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the options file: %w", err)
		}
		values, problems := conf.Properties(path, text)
		if problems.Fatal() {
			return errors.New(strings.TrimSpace(problems.String()))
		}
		return addOptions(o, known, values)
	}
	return nil
}

func addOptions(o *options, known []option, values conf.Values) error {
	for _, v := range values {
		at := slices.IndexFunc(known, func(k option) bool { return v.Key == k.long || v.Key == k.short })
		switch {
		case at < 0:
			return fmt.Errorf("%s: option %q is not known", v.Pos, v.Key)
		case o.has(known[at].id()):
			continue
		case known[at].arg != "":
			o.values[known[at].id()] = []string{v.Text}
		case slices.Contains([]string{"yes", "true", "1"}, strings.ToLower(v.Text)):
			o.values[known[at].id()] = []string{"true"}
		}
	}
	return nil
}
