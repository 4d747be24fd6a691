package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/channeltool"
	"github.com/sluice-io/sluice/internal/logline"
	"github.com/sluice-io/sluice/internal/wal"
)

// The statuses of the command channel: 1 says that the channel is damaged, so what could not be done is 2.
const (
	statusDamaged = 1
	statusUnable  = 2
)

// The actions of the command channel.
const (
	inspectAction = "inspect"
	verifyAction  = "verify"
	repairAction  = "repair"
	drainAction   = "drain"
	exportAction  = "export"
)

func channelActions() []action {
	return []action{
		{inspectAction, "says what it holds, what a start would do, what is damaged; changes nothing, and may be called while an agent runs"},
		{verifyAction, "reads every record and every event, and lists each damage; changes nothing"},
		{repairAction, "sets damaged records aside, ends what was cut off, writes a checkpoint; the agent has to be stopped"},
		{drainAction, "writes the events to a file and removes them; the agent has to be stopped"},
		{exportAction, "writes the events to a file and removes none; changes nothing"},
	}
}

func actionNames() (names []string) {
	for _, a := range channelActions() {
		names = append(names, a.name)
	}
	return names
}

func channelOptions() []option {
	return []option{
		{short: "f", long: "conf-file", arg: "FILE", doc: "take directories, capacity and keys from a configuration (repeatable)"},
		{short: "n", long: "name", arg: "NAME", doc: "with -f: the agent, where the configuration has several"},
		{long: "channel", arg: "NAME", doc: "with -f: the channel, where the agent has several file channels"},
		{long: "checkpoint", arg: "DIR", doc: "the checkpointDir"},
		{long: "backup", arg: "DIR", doc: "the backupCheckpointDir"},
		{long: "data", arg: "DIR[,DIR...]", doc: "the dataDirs (repeatable)"},
		{long: "capacity", arg: "EVENTS", doc: "the capacity of the channel (default: that of its checkpoint)"},
		{long: "key-store", arg: "FILE", doc: "of an encrypted channel: the JCEKS key store"},
		{long: "key-store-password-file", arg: "FILE", doc: "the file with its password"},
		{long: "key-password-file", arg: "ALIAS=FILE", doc: "the file with the password of a key that has its own (repeatable)"},
		{long: "active-key", arg: "ALIAS", doc: "the key for new data files; repair and drain make one, without events"},
		{long: "quick", doc: "inspect: read only what a start would read"},
		{long: "json", doc: "inspect, verify: print JSON"},
		{long: "quarantine", arg: "DIR", doc: "repair, drain: where damaged records are kept (default: the checkpointDir with -quarantine behind its name)"},
		{long: "without-missing", doc: "repair: give up the events whose data files are not there"},
		{long: "dry-run", doc: "repair, drain: say what would be done"},
		{long: "to", arg: "FILE", doc: "drain, export: the file for the events, which must not be there yet; - is the standard output (export: the default)"},
		{long: "count", arg: "N", doc: "drain, export: no more events than that"},
		{long: "format", arg: "json|body|avro", doc: "drain, export: lines of JSON (the default), bodies with a newline behind each, an Avro container as Flume's avro_event"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// actionsOf are the actions that an option is for; nil: all.
func actionsOf(id string) []string {
	switch id {
	case "quick":
		return []string{inspectAction}
	case "json":
		return []string{inspectAction, verifyAction}
	case "quarantine", "dry-run":
		return []string{repairAction, drainAction}
	case "without-missing":
		return []string{repairAction}
	case "to", "count", "format":
		return []string{drainAction, exportAction}
	}
	return nil
}

// runChannel looks at a file channel, or after it.
func runChannel(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return unable(err)
	}
	if o.has("help") {
		return p.describe(c)
	}
	t, err := p.channelTask(&o, l)
	if err != nil {
		return unable(err)
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	if err := t.options(); err != nil {
		return unable(err)
	}
	switch t.action {
	case inspectAction, verifyAction:
		return t.look()
	case repairAction:
		return t.repair()
	case drainAction:
		return t.drain()
	default:
		return t.export()
	}
}

// unable makes an error end the program with the status for what could not be done.
func unable(err error) error { return &failure{statusUnable, err} }

// A channelTask is what one line asks of a channel.
type channelTask struct {
	*program
	launch     *launch
	o          *options
	action     string
	paths      []string
	count      int64
	format     channeltool.Format
	log        wal.Options
	assumed    bool // the capacity is the default, for nobody has said it
	quarantine string
	progress   channeltool.Progress
}

// channelTask checks what can be checked of a line before any directory is looked at.
func (p *program) channelTask(o *options, l *launch) (*channelTask, error) {
	t := &channelTask{program: p, launch: l, o: o, format: channeltool.JSON}
	list := strings.Join(actionNames(), ", ")
	if len(o.words) == 0 {
		return nil, fmt.Errorf("channel: what is to be done? One of %s", list)
	}
	t.action, t.paths = o.words[0], o.words[1:]
	if !slices.Contains(actionNames(), t.action) {
		return nil, fmt.Errorf("channel: %q is none of %s%s", t.action, list, meant(t.action, actionNames()))
	}
	known := channelOptions()
	for i := range known {
		id := known[i].id()
		if of := actionsOf(id); of != nil && o.has(id) && !slices.Contains(of, t.action) {
			return nil, fmt.Errorf("option --%s is for %s", id, strings.Join(of, " and "))
		}
	}
	if l.dry {
		o.values["dry-run"] = []string{"true"}
	}
	dirs := o.has("checkpoint") || o.has("backup") || o.has("data")
	switch ways := o.has("conf-file"); {
	case ways && (dirs || len(t.paths) > 0 || o.has("capacity") || o.has("key-store")):
		return nil, errors.New("a configuration is given with -f, and says where the channel is: no directories, capacity or key store beside it")
	case !ways && (o.has("channel") || o.has("name")):
		return nil, errors.New("--name and --channel belong to a configuration: -f FILE")
	case dirs && len(t.paths) > 0:
		return nil, errors.New("directories are given with options and without; give all of them in one way")
	case dirs && (!o.has("data") || !o.has("checkpoint")):
		return nil, errors.New("a channel has --checkpoint DIR and --data DIR")
	case !ways && !dirs && len(t.paths) == 0:
		return nil, fmt.Errorf("which channel? %s channel %s DIR..., or -f flume.conf --channel NAME", p.name, t.action)
	}
	if o.has("key-store") && (!o.has("key-store-password-file") || !o.has("active-key")) {
		return nil, errors.New("with --key-store, --key-store-password-file and --active-key are needed too")
	}
	if !o.has("key-store") && (o.has("key-store-password-file") || o.has("active-key") || o.has("key-password-file")) {
		return nil, errors.New("keys are in a --key-store")
	}
	for _, v := range o.values["key-password-file"] {
		if alias, file, _ := strings.Cut(v, "="); alias == "" || file == "" {
			return nil, fmt.Errorf("option --key-password-file: %q is not ALIAS=FILE", v)
		}
	}
	if text := o.get("capacity"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 {
			return nil, fmt.Errorf("option --capacity: %q is not a number of events", text)
		}
	}
	if o.has("count") {
		n, err := strconv.ParseInt(o.get("count"), 10, 64)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("option --count: %q is not a number of events", o.get("count"))
		}
		t.count = n
	}
	if o.has("format") {
		t.format = channeltool.Format(strings.ToLower(o.get("format")))
		if !slices.Contains([]channeltool.Format{channeltool.JSON, channeltool.Body, channeltool.Avro}, t.format) {
			return nil, fmt.Errorf("option --format: %q is not json, body or avro", o.get("format"))
		}
	}
	if t.action == drainAction && !o.has("to") {
		return nil, errors.New("drain removes the events; say where they go: --to FILE, or --to - for the standard output")
	}
	t.progress = func(text string) { fmt.Fprintln(p.err, text) }
	return t, nil
}

// writes reports whether the task changes the channel.
func (t *channelTask) writes() bool { return t.action == repairAction || t.action == drainAction }

// options finds out how the log is opened.
func (t *channelTask) options() error {
	if t.o.has("conf-file") {
		sec, kind, err := t.configured()
		if err != nil {
			return err
		}
		return t.bind(sec, kind)
	}
	var d channeltool.Dirs
	if t.o.has("data") {
		d = channeltool.Dirs{Checkpoint: t.o.get("checkpoint"), Backup: t.o.get("backup")}
		for _, v := range t.o.values["data"] {
			d.Data = append(d.Data, strings.Split(v, ",")...)
		}
	} else {
		var err error
		if d, err = channeltool.Find(t.paths); err != nil {
			return err
		}
	}
	switch {
	case d.Checkpoint == "" && t.writes():
		return fmt.Errorf("no checkpoint directory is among %s; name it with --checkpoint, and the data directories with --data", strings.Join(t.paths, ", "))
	case d.Checkpoint == "":
		d.Checkpoint = channeltool.Unnamed(d.Data)
	}
	at := slices.IndexFunc(t.kit.Channels, func(k flume.Kind[flume.Channel]) bool { return k.Is("file") })
	if at < 0 {
		return errors.New("this binary has no file channel")
	}
	if err := t.bind(t.section(d), t.kit.Channels[at]); err != nil {
		return err
	}
	t.log.DataDirs = d.Data // a name may hold a comma
	t.assumed = t.o.get("capacity") == "" && d.Capacity() == 0
	if t.log.Keys == nil {
		t.log.Keys = channeltool.NoKeys("no keys were given: name the key store with --key-store, or the configuration with -f")
	}
	return nil
}

// section says with the settings of a configuration what the line says with options.
func (t *channelTask) section(d channeltool.Dirs) *conf.Section {
	var values conf.Values
	set := func(key, value string) { values = append(values, conf.Value{Key: key, Text: value}) }
	set("checkpointDir", d.Checkpoint)
	set("dataDirs", strings.Join(d.Data, ","))
	if d.Backup != "" {
		set("useDualCheckpoints", "true")
		set("backupCheckpointDir", d.Backup)
		set("compressBackupCheckpoint", strconv.FormatBool(d.Compressed()))
	}
	set("transactionCapacity", "1") // which counts for nothing here, and is never more than the capacity
	if capacity := t.o.get("capacity"); capacity != "" {
		set("capacity", capacity)
	} else if n := d.Capacity(); n > 0 {
		set("capacity", strconv.Itoa(n))
	}
	if t.o.has("key-store") {
		const provider = "encryption.keyProvider"
		set("encryption.activeKey", t.o.get("active-key"))
		set("encryption.cipherProvider", "AESCTRNOPADDING")
		set(provider, "JCEKSFILE")
		set(provider+".keyStoreFile", t.o.get("key-store"))
		set(provider+".keyStorePasswordFile", t.o.get("key-store-password-file"))
		set(provider+".keys", t.o.get("active-key"))
		for _, v := range t.o.values["key-password-file"] {
			alias, file, _ := strings.Cut(v, "=")
			set(provider+".keys."+alias+".passwordFile", file)
		}
	}
	sec := conf.NewSection("", "channels", "", "the options: ", conf.Pos{}, values)
	sec.Property = t.launch.properties.lookup
	return sec
}

// A logged is what settings are whose channel keeps a log.
type logged interface {
	Options(log *slog.Logger) (wal.Options, error)
}

// configured finds the channel in a configuration.
func (t *channelTask) configured() (*conf.Section, flume.Kind[flume.Channel], error) {
	files := t.o.values["conf-file"]
	none := flume.Kind[flume.Channel]{}
	cfg, problems, err := t.read(files, t.o.get("name"), t.launch)
	if err != nil {
		return nil, none, err
	}
	var names []string
	for _, a := range cfg.Agents {
		names = append(names, a.Name)
	}
	name := t.o.get("name")
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return nil, none, fmt.Errorf("%s has the agents %s; which one? -n NAME", strings.Join(files, ", "), conf.QuoteNames(names))
	}
	if err := hasAgent([]*conf.Config{cfg}, [][]string{files}, name); err != nil {
		return nil, none, err
	}
	var found []*conf.Section
	var kinds []flume.Kind[flume.Channel]
	names = nil
	for _, sec := range cfg.Agent(name).Channels {
		typ, _ := sec.Get("type")
		at := slices.IndexFunc(t.kit.Channels, func(k flume.Kind[flume.Channel]) bool { return k.Is(typ.Text) })
		if at < 0 {
			continue
		}
		if plan, _ := t.kit.Channels[at].Bind(sec.Fresh()); !hasLog(plan) {
			continue
		}
		names = append(names, sec.Name)
		if only := t.o.get("channel"); only == "" || only == sec.Name {
			found, kinds = append(found, sec), append(kinds, t.kit.Channels[at])
		}
	}
	switch {
	case len(names) == 0:
		return nil, none, fmt.Errorf("agent %s of %s has no file channel", name, strings.Join(files, ", "))
	case len(found) == 0:
		return nil, none, fmt.Errorf("agent %s has no file channel %q; it has %s", name, t.o.get("channel"), conf.QuoteNames(names))
	case len(found) > 1:
		return nil, none, fmt.Errorf("agent %s has the file channels %s; which one? --channel NAME", name, conf.QuoteNames(names))
	}
	for _, p := range problems {
		if p.Severity == conf.Fatal && (p.Subject == found[0].Path("") || strings.HasPrefix(p.Subject, found[0].Path("")+".")) {
			return nil, none, errors.New(p.String())
		}
	}
	return found[0], kinds[0], nil
}

func hasLog(p flume.Plan[flume.Channel]) bool {
	_, ok := p.Settings.(logged)
	return ok
}

// bind reads the settings of the channel.
func (t *channelTask) bind(sec *conf.Section, kind flume.Kind[flume.Channel]) error {
	sec.Get("type")
	plan, problems := kind.Bind(sec)
	for _, p := range problems {
		if p.Severity == conf.Fatal {
			return errors.New(p.String())
		}
	}
	settings, ok := plan.Settings.(logged)
	if !ok {
		return fmt.Errorf("a channel of the type %s has no files", kind.Type)
	}
	var err error
	if t.log, err = settings.Options(slog.New(logline.New(slog.LevelWarn, t.err))); err != nil {
		return err
	}
	t.quarantine = channeltool.QuarantineOf(t.log.CheckpointDir)
	if v, ok := sec.Values.Get("quarantineDir"); ok {
		t.quarantine = v.Text
	}
	if t.o.has("quarantine") {
		t.quarantine = t.o.get("quarantine")
	}
	return nil
}

// examine reads the channel, and says so where somebody has it open.
func (t *channelTask) examine(depth channeltool.Depth) (*channeltool.Findings, error) {
	x, err := channeltool.Examine(t.log, depth, t.progress)
	if err != nil {
		return nil, unable(err)
	}
	x.Assumed = t.assumed
	if t.assumed && t.writes() {
		fmt.Fprintf(t.err, "warning: no checkpoint tells the capacity; the one to be written is for %s events. If that is not what the channel has, give --capacity\n",
			channeltool.Number(int64(t.log.Capacity)))
	}
	for _, u := range x.Users {
		fmt.Fprintf(t.err, "warning: %s has the channel open: what is read may be half written\n", u)
	}
	return x, nil
}

// status ends with the status of what was found.
func status(sound bool) error {
	if sound {
		return nil
	}
	return exit(statusDamaged)
}

func (t *channelTask) look() error {
	depth := channeltool.Everything
	if t.o.has("quick") {
		depth = channeltool.Start
	}
	x, err := t.examine(depth)
	if err != nil {
		return err
	}
	switch {
	case t.o.has("json"):
		err = x.JSON(t.out)
	case t.action == verifyAction:
		x.List(t.out)
	default:
		err = x.Table(t.out)
	}
	if err != nil {
		return unable(err)
	}
	return status(x.Sound())
}

func (t *channelTask) repair() error {
	if err := channeltool.InUse(&t.log); err != nil {
		return unable(err)
	}
	x, err := t.examine(channeltool.Everything)
	if err != nil {
		return err
	}
	if err := x.Repairable(t.o.has("without-missing")); err != nil {
		return unable(err)
	}
	if t.o.has("dry-run") {
		x.Plan(t.out, t.quarantine)
		return status(x.Sound())
	}
	r, err := channeltool.Repair(t.log, t.quarantine, x)
	if r != nil && r.Recovery != nil {
		r.Print(t.out, t.quarantine)
	}
	if err != nil {
		return unable(err)
	}
	return status(len(r.Left) == 0)
}

func (t *channelTask) drain() error {
	if err := channeltool.InUse(&t.log); err != nil {
		return unable(err)
	}
	x, err := t.examine(channeltool.Records)
	if err != nil {
		return err
	}
	if err := x.Repairable(false); err != nil {
		return unable(err)
	}
	if t.o.has("dry-run") {
		n := x.Events
		if t.count > 0 {
			n = min(n, t.count)
		}
		fmt.Fprintf(t.out, "would write %s to %s and remove them\n", channeltool.Count(n, "event"), t.o.get("to"))
		return nil
	}
	out, err := t.create()
	if err != nil {
		return unable(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	d, err := channeltool.Drain(ctx, t.log, t.quarantine, out, t.count, t.progress)
	if err == nil {
		err = out.Close()
	}
	for _, bad := range d.Aside {
		fmt.Fprintf(t.err, "set aside in %s: %s\n", t.quarantine, channeltool.Place(bad))
	}
	if d.Recovery != nil {
		fmt.Fprintf(t.err, "%s written and removed, %s left\n", channeltool.Count(d.Events, "event"), channeltool.Number(int64(d.Left)))
	}
	if err != nil {
		return unable(err)
	}
	if ctx.Err() != nil {
		return unable(errors.New("stopped by a signal; nothing is lost, and the rest is in the channel"))
	}
	return status(len(d.Aside) == 0)
}

func (t *channelTask) create() (*channeltool.Output, error) {
	to := t.o.get("to")
	if to == "" {
		to = "-"
	}
	if t.format == channeltool.Body {
		fmt.Fprintln(t.err, "warning: the headers of the events are not written: --format body")
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone is an error like any other
	return channeltool.Create(to, t.format)
}

func (t *channelTask) export() error {
	x, err := t.examine(channeltool.Records)
	if err != nil {
		return err
	}
	out, err := t.create()
	if err != nil {
		return unable(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	n, unreadable, err := channeltool.Export(ctx, x, out, t.count, t.progress)
	if err == nil {
		err = out.Close()
	}
	fmt.Fprintf(t.err, "%s written, none removed\n", channeltool.Count(n, "event"))
	if unreadable > 0 {
		fmt.Fprintf(t.err, "%s cannot be read: sluice channel verify lists them\n", channeltool.Count(unreadable, "event"))
	}
	if err != nil {
		return unable(err)
	}
	if ctx.Err() != nil {
		return unable(errors.New("stopped by a signal"))
	}
	if !x.Sound() && unreadable == 0 {
		fmt.Fprintln(t.err, "the channel is damaged: sluice channel verify says where")
	}
	return status(x.Sound() && unreadable == 0)
}
