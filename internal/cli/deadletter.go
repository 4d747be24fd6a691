package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/deadletter"
	"github.com/sluice-io/sluice/internal/logline"
)

// The actions of the command deadletter; its statuses are those of channel.
const (
	listAction   = "list"
	showAction   = "show"
	replayAction = "replay"
	removeAction = "remove"
)

func letterActions() []action {
	return []action{
		{listAction, "a line for each letter, the oldest first; may be called while an agent runs, as all of them"},
		{showAction, "each letter whole: headers, body, reason, where it comes from"},
		{replayAction, "sends letters through the configuration again and removes those that were taken: through the agent if it runs, else into the channels themselves"},
		{removeAction, "removes letters for good"},
	}
}

func letterOptions() []option {
	return []option{
		{short: "n", long: "name", arg: "NAME", doc: "the agent whose letters are meant; without DIR and -n: those of all agents"},
		{short: "f", long: "conf-file", arg: "FILE", doc: "its configuration: needed for a replay while the agent does not run, and for directories that it names (repeatable)"},
		{long: "data-dir", arg: "DIR", doc: "the data directory of the agent (default ~/.flume)"},
		{long: "where", arg: "CONDITION", doc: "only letters that fulfil it, such as component=a1.sinks.k1, reason~large, header.topic!=t1, time>=2026-11-21T10:00, attempt>1, id=ID; fields are id, agent, component, reason, position, body, time, attempt, header.NAME; ~ is a regular expression (repeatable: all of them)"},
		{long: "count", arg: "N", doc: "list, show: no more letters than that"},
		{long: "json", doc: "list, show: a line of JSON for each letter"},
		{long: "to", arg: "source|channel", doc: "replay: through the interceptors of its source, or into the channel (default: letters of sources the one, of sinks the other); source:NAME and channel:NAME send all there"},
		{long: "all", doc: "remove: without a condition"},
		{long: "dry-run", doc: "replay, remove: say how many letters are chosen"},
		{short: "h", long: "help", doc: "print this text"},
	}
}

// A letterTask is what one line asks of dead letters.
type letterTask struct {
	*program
	launch *launch
	o      *options
	action string
	name   string
	data   string
	where  []string
	filter *deadletter.Filter
	count  int // 0: all
}

// runLetters looks at dead letters, or settles them.
func runLetters(p *program, c *command, l *launch) error {
	o, err := parseOptions(c.options, l.args)
	if err != nil {
		return unable(err)
	}
	if o.has("help") {
		return p.describe(c)
	}
	t, err := p.letterTask(&o, l)
	if err != nil {
		return unable(err)
	}
	for _, w := range l.warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	switch {
	case t.action == listAction, t.action == showAction:
		return t.print()
	case t.o.has("dry-run"):
		return t.dry()
	case t.action == removeAction:
		return t.remove()
	}
	return t.replay()
}

func (p *program) letterTask(o *options, l *launch) (*letterTask, error) {
	var names []string
	for _, a := range letterActions() {
		names = append(names, a.name)
	}
	list := strings.Join(names, ", ")
	if len(o.words) == 0 {
		return nil, fmt.Errorf("deadletter: what is to be done? One of %s", list)
	}
	t := &letterTask{program: p, launch: l, o: o, action: o.words[0], name: o.get("name"), data: o.get("data-dir"), where: o.values["where"]}
	if !slices.Contains(names, t.action) {
		return nil, fmt.Errorf("deadletter: %q is none of %s%s", t.action, list, meant(t.action, names))
	}
	for id, of := range map[string][]string{"count": {listAction, showAction}, "json": {listAction, showAction}, "to": {replayAction}, "all": {removeAction}, "dry-run": {replayAction, removeAction}} {
		if o.has(id) && !slices.Contains(of, t.action) {
			return nil, fmt.Errorf("option --%s is for %s", id, strings.Join(of, " and "))
		}
	}
	if l.dry {
		o.values["dry-run"] = []string{"true"}
	}
	if t.data == "" {
		t.data = filepath.Join(l.properties["user.home"], ".flume")
	}
	if o.has("conf-file") && t.name == "" {
		return nil, fmt.Errorf("which agent of %s? -n NAME", strings.Join(o.values["conf-file"], ", "))
	}
	if text := o.get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("option --count: %q is not a number of letters", text)
		}
		t.count = n
	}
	var err error
	if t.filter, err = deadletter.ParseFilter(t.where); err != nil {
		return nil, fmt.Errorf("option --where: %w", err)
	}
	switch {
	case t.action == replayAction && t.name == "":
		return nil, errors.New("which agent replays? -n NAME, and -f FILE where it does not run")
	case t.action == removeAction && len(t.where) == 0 && !o.has("all"):
		return nil, errors.New("remove which letters? --where CONDITION, or --all")
	}
	return t, nil
}

// dirs are the directories that are meant.
func (t *letterTask) dirs() ([]string, error) {
	if len(t.o.words) > 1 {
		for _, dir := range t.o.words[1:] {
			if info, err := os.Stat(dir); err != nil {
				return nil, err
			} else if !info.IsDir() {
				return nil, fmt.Errorf("%s is no directory of dead letters", dir)
			}
		}
		return absolutePaths(t.o.words[1:]), nil
	}
	if t.o.has("conf-file") {
		a, err := t.agent()
		if err != nil {
			return nil, err
		}
		return absolutePaths(a.LetterDirs()), nil
	}
	if t.name != "" {
		return absolutePaths([]string{agent.LetterDir(t.data, t.name)}), nil
	}
	entries, err := os.ReadDir(filepath.Join(t.data, "deadletter"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(t.data, "deadletter", e.Name()))
		}
	}
	return absolutePaths(dirs), nil
}

// absolutePaths makes names that mean the same file to another process.
func absolutePaths(paths []string) []string {
	out := make([]string, len(paths))
	for i, path := range paths {
		out[i] = path
		if abs, err := filepath.Abs(path); err == nil {
			out[i] = abs
		}
	}
	return out
}

// agent assembles the agent that the configuration has.
func (t *letterTask) agent() (*agent.Agent, error) {
	files := t.o.values["conf-file"]
	cfg, problems, err := t.read(files, t.name, t.launch)
	if err != nil {
		return nil, err
	}
	if err := hasAgent([]*conf.Config{cfg}, [][]string{files}, t.name); err != nil {
		return nil, err
	}
	log := slog.New(logline.New(slog.LevelWarn, t.err)).With("agent", t.name)
	a, found := agent.New(cfg.Agent(t.name), agent.Options{Kit: t.kit, Log: log, Property: t.launch.properties.lookup, DataDir: t.data})
	if a == nil {
		problems = append(problems.Of(t.name), found...)
		return nil, fmt.Errorf("nothing of agent %s can run:\n%s", t.name, strings.TrimSpace(problems.String()))
	}
	return a, nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// each calls do for every letter that is chosen, and says what cannot be read.
func (t *letterTask) each(do func(l *deadletter.Letter, tried bool) error) (sound bool, err error) {
	dirs, err := t.dirs()
	if err != nil {
		return false, err
	}
	sound = true
	n := 0
	for _, dir := range dirs {
		troubles, err := deadletter.Each(dir, t.filter, func(l *deadletter.Letter, tried bool) error {
			if n++; t.count > 0 && n > t.count {
				return errEnough
			}
			return do(l, tried)
		})
		for _, x := range troubles {
			sound = false
			fmt.Fprintln(t.err, x.Err)
		}
		if errors.Is(err, errEnough) {
			return sound, nil
		}
		if err != nil {
			return false, err
		}
	}
	return sound, nil
}

func (t *letterTask) print() error {
	out := bufio.NewWriter(t.out)
	n, unclear := 0, 0
	sound, err := t.each(func(l *deadletter.Letter, tried bool) error {
		n++
		if tried {
			unclear++
		}
		switch {
		case t.o.has("json"):
			return writeLetter(out, l, tried)
		case t.action == listAction:
			return listLetter(out, l, tried)
		}
		return showLetter(out, l, tried)
	})
	if err = errors.Join(err, out.Flush()); err != nil {
		return unable(err)
	}
	fmt.Fprintln(t.err, count(n, "letter")+unclearly(unclear))
	if !sound {
		return exit(statusDamaged)
	}
	return nil
}

func unclearly(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; of %d it is not known whether an earlier replay has delivered them", n)
}

const shownTime = "2006-01-02T15:04:05.000Z07:00"

// mostReason is how much of a reason a list shows, in characters.
const mostReason = 200

func listLetter(w io.Writer, l *deadletter.Letter, tried bool) error {
	reason := strings.Join(strings.Fields(printable(l.Reason)), " ")
	if r := []rune(reason); len(r) > mostReason {
		reason = string(r[:mostReason]) + "…"
	}
	position := ""
	if l.Position != "" {
		position = "  " + printable(l.Position)
	}
	mark := " "
	if tried {
		mark = "?"
	}
	_, err := fmt.Fprintf(w, "%s %s  %s  %s%s  %s\n", mark, l.Time.UTC().Format(shownTime), l.ID, printable(l.Component), position, reason)
	return err
}

func showLetter(w io.Writer, l *deadletter.Letter, tried bool) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, value)
		}
	}
	line("letter", l.ID)
	line("time", l.Time.UTC().Format(shownTime))
	line("agent", printable(l.Agent))
	line("component", printable(l.Component))
	line("reason", printable(l.Reason))
	if l.Attempt > 0 {
		line("attempt", strconv.Itoa(l.Attempt))
	}
	line("position", printable(l.Position))
	if tried {
		line("replayed", "before; whether it was delivered is not known")
	}
	for _, h := range l.Headers {
		line("header", printable(h.Key)+" = "+printable(h.Value))
	}
	line("body", count(len(l.Body), "byte"))
	b.WriteString(printable(string(l.Body)))
	b.WriteString("\n\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// printable keeps what would change a terminal out.
func printable(text string) string {
	clean := func(r rune) bool { return r != '\n' && r != '\t' && !strconv.IsPrint(r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, clean) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
}

// A jsonLetter is a letter as JSON. A body that is no UTF-8 is in base64.
type jsonLetter struct {
	ID         string            `json:"id"`
	Time       time.Time         `json:"time"`
	Agent      string            `json:"agent"`
	Component  string            `json:"component"`
	Reason     string            `json:"reason"`
	Attempt    int               `json:"attempt,omitempty"`
	Position   string            `json:"position,omitempty"`
	Tried      bool              `json:"tried,omitempty"`
	Headers    map[string]string `json:"headers"`
	Body       *string           `json:"body,omitempty"`
	BodyBase64 []byte            `json:"bodyBase64,omitempty"`
}

func writeLetter(w io.Writer, l *deadletter.Letter, tried bool) error {
	j := jsonLetter{ID: l.ID, Time: l.Time.UTC(), Agent: l.Agent, Component: l.Component, Reason: l.Reason, Attempt: l.Attempt,
		Position: l.Position, Tried: tried, Headers: map[string]string{}}
	for _, h := range l.Headers {
		j.Headers[h.Key] = h.Value
	}
	if utf8.Valid(l.Body) {
		text := string(l.Body)
		j.Body = &text
	} else {
		j.BodyBase64 = l.Body
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(&j)
}

func (t *letterTask) dry() error {
	n, unclear := 0, 0
	sound, err := t.each(func(_ *deadletter.Letter, tried bool) error {
		n++
		if tried {
			unclear++
		}
		return nil
	})
	if err != nil {
		return unable(err)
	}
	fmt.Fprintf(t.out, "would %s %s%s\n", t.action, count(n, "letter"), unclearly(unclear))
	if !sound {
		return exit(statusDamaged)
	}
	return nil
}

func (t *letterTask) remove() error {
	dirs, err := t.dirs()
	if err != nil {
		return unable(err)
	}
	n, sound := 0, true
	for _, dir := range dirs {
		r, err := deadletter.Remove(dir, t.filter)
		n += r.Settled
		for _, x := range r.Troubles {
			sound = false
			fmt.Fprintln(t.err, x.Err)
		}
		if err != nil {
			return unable(fmt.Errorf("removing dead letters, of which %d are gone: %w", n, err))
		}
	}
	fmt.Fprintln(t.out, "removed", count(n, "letter"))
	if !sound {
		return exit(statusDamaged)
	}
	return nil
}

// replay has the agent replay if it runs, and else opens its channels.
func (t *letterTask) replay() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	q := deadletter.Request{Where: t.where, To: t.o.get("to")}
	if len(t.o.words) > 1 {
		var err error
		if q.Dirs, err = t.dirs(); err != nil {
			return unable(err)
		}
	}
	requests := agent.RequestDir(t.data, t.name)
	who, running, err := deadletter.Running(requests)
	if err != nil {
		return unable(fmt.Errorf("looking whether agent %s runs: %w", t.name, err))
	}
	files := absolutePaths(t.o.values["conf-file"])
	var a deadletter.Answer
	switch {
	case running && len(files) > 0 && !slices.Equal(files, who.Files):
		return unable(fmt.Errorf("agent %s runs (process %d) with the configuration %s, not with %s; agents of one name need each a --data-dir of their own",
			t.name, who.PID, strings.Join(who.Files, ", "), strings.Join(files, ", ")))
	case running:
		fmt.Fprintf(t.err, "agent %s runs (process %d) and replays\n", t.name, who.PID)
		if a, err = deadletter.Ask(ctx, requests, q); err != nil {
			return unable(err)
		}
	case len(files) == 0:
		return unable(fmt.Errorf("agent %s does not run in the data directory %s; to replay into its channels, give its configuration: -f FILE", t.name, t.data))
	default:
		assembled, err := t.agent()
		if err != nil {
			return unable(err)
		}
		fmt.Fprintf(t.err, "agent %s does not run; its channels are opened\n", t.name)
		a = assembled.Replay(ctx, q)
	}
	return t.tell(&a)
}

// tell says what came of a replay.
func (t *letterTask) tell(a *deadletter.Answer) error {
	for _, remark := range a.Remarks {
		fmt.Fprintln(t.err, remark)
	}
	text := "replayed " + count(a.Settled, "letter")
	if a.Again > 0 {
		text += fmt.Sprintf("; %d of them may have been delivered by an earlier replay too", a.Again)
	}
	if a.Open > 0 {
		text += fmt.Sprintf("; %d more stay, of which it is not known whether they were delivered", a.Open)
	}
	if a.Unrouted > 0 {
		text += fmt.Sprintf("; %d stay, for nobody knows where they go", a.Unrouted)
	}
	fmt.Fprintln(t.out, text)
	switch {
	case a.Error != "":
		return unable(errors.New(a.Error))
	case a.Unrouted > 0 || len(a.Remarks) > 0:
		return exit(statusDamaged)
	}
	return nil
}
