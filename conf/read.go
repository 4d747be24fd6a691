package conf

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxFile is the most that a configuration file may hold, in bytes.
const maxFile = 16 << 20

// Read reads files, the keys of a later one over those of an earlier one. What is wrong in them is in the problems; the
// error is that a file cannot be read at all.
func Read(files []string, o Options) (*Config, Problems, error) {
	r := newReading(o)
	for _, file := range files {
		text, err := load(file)
		if err != nil {
			return nil, nil, err
		}
		r.add(file, text)
	}
	config, problems := r.config()
	return config, problems, nil
}

// Parse reads text as Read reads a file of that name.
func Parse(name string, text []byte, o Options) (*Config, Problems, error) {
	if err := checkName(name); err != nil {
		return nil, nil, err
	}
	if len(text) > maxFile {
		return nil, nil, tooLarge(name)
	}
	r := newReading(o)
	r.add(name, text)
	config, problems := r.config()
	return config, problems, nil
}

func load(file string) ([]byte, error) {
	if err := checkName(file); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer f.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(file, err)
	}
	if len(text) > maxFile {
		return nil, tooLarge(file)
	}
	return text, nil
}

// unreadable says where the file was looked for: a relative path is the usual mistake.
func unreadable(file string, err error) error {
	if !filepath.IsAbs(file) {
		if dir, wdErr := os.Getwd(); wdErr == nil {
			return fmt.Errorf("reading the configuration %s (the working directory is %s): %w", filepath.Join(dir, file), dir, err)
		}
	}
	return fmt.Errorf("reading the configuration: %w", err)
}

func tooLarge(file string) error {
	return fmt.Errorf("reading the configuration %s: it holds more than %d MB", file, maxFile>>20)
}

// checkName refuses what Flume skips by its name.
func checkName(file string) error {
	switch ext := filepath.Ext(file); ext {
	case ".json", ".yaml", ".xml":
		return fmt.Errorf("reading the configuration %s: Flume's configuration is properties text (a1.sources = r1), not %s; if that is what the file holds, name it .conf",
			file, strings.ToUpper(ext[1:]))
	}
	return nil
}

// A reading is a configuration on its way from text to agents.
type reading struct {
	options  Options
	problems Problems
	files    []string
	props    []*property          // of all files; of a key that stands twice all
	keys     map[string]*property // the last of each key
	agents   []*draft
	byName   map[string]*draft
}

func newReading(o Options) *reading {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return &reading{options: o, keys: map[string]*property{}, byName: map[string]*draft{}}
}

func (r *reading) report(sev Severity, p *property, text string) {
	agent, _, dotted := strings.Cut(p.key, ".")
	if !dotted {
		agent = ""
	}
	r.problems = append(r.problems, Problem{Pos: p.pos, Agent: agent, Subject: p.key, Text: text, Severity: sev})
}

// add merges the properties of a file into those before.
func (r *reading) add(file string, text []byte) {
	r.files = append(r.files, file)
	props, problems := parseProperties(file, text)
	r.problems = append(r.problems, problems...)
	if len(props) == 0 && len(problems) == 0 {
		r.problems = append(r.problems, Problem{Pos: Pos{File: file}, Severity: Warning, Text: "holds no settings"})
	}
	before := map[string][]*property{}
	for _, p := range props {
		p.key, p.text = trim(p.key), trim(p.text)
		r.suspect(p)
		before[p.key] = append(before[p.key], p)
		r.keys[p.key] = p
	}
	r.props = append(r.props, props...)
	for _, p := range props {
		if all := before[p.key]; len(all) > 1 && all[len(all)-1] == p {
			r.duplicate(all)
		}
	}
}

// duplicate warns of a key that a file has more than once.
func (r *reading) duplicate(all []*property) {
	last := all[len(all)-1]
	lines, same := "line", true
	if len(all) > 2 {
		lines = "lines"
	}
	for i, p := range all[:len(all)-1] {
		switch {
		case i > 0 && i == len(all)-2:
			lines += " and"
		case i > 0:
			lines += ","
		}
		lines += fmt.Sprintf(" %d", p.pos.Line)
		same = same && p.text == last.text
	}
	if same {
		r.report(Warning, last, "is set in "+lines+" too, to the same value")
		return
	}
	r.report(Warning, last, fmt.Sprintf("is set in %s too, to another value; this line wins", lines))
}

// trim drops what Java's String.trim drops.
func trim(s string) string { return strings.TrimFunc(s, func(c rune) bool { return c <= ' ' }) }

// suspect warns of text that hardly means what it says.
func (r *reading) suspect(p *property) {
	if p.fault != "" {
		return
	}
	secret := secretName(p.key) || secretText(p.text)
	shown := "the value"
	if !secret {
		shown = shorten(p.text, longestShown)
	}
	if p.lost != "" {
		if secret {
			r.report(Warning, p, "a backslash of the value is dropped; to keep it, write two")
		} else {
			r.report(Warning, p, fmt.Sprintf(`%s is read as %s, the value is %s; to keep the backslash, write two`, p.lost, p.lost[1:], shown))
		}
	}
	if at := commentIn(p.text); at >= 0 {
		r.report(Warning, p, fmt.Sprintf("%s holds a # in the middle: only a whole line can be a comment, so all of it is the value", shown))
	}
	if n := len(p.text); n >= 2 && (p.text[0] == '"' || p.text[0] == '\'') && strings.IndexByte(p.text[1:], p.text[0]) == n-2 {
		r.report(Warning, p, "the quotes are part of the value; if they are not meant to be, leave them out")
	}
	for _, where := range [...]struct{ text, name string }{{p.key, "key"}, {edges(p.text), "value"}} {
		if at := strings.IndexFunc(where.text, invisible); at >= 0 {
			c := []rune(where.text[at:])[0]
			r.report(Warning, p, fmt.Sprintf("the %s holds an invisible %U, which is not a blank to Flume; remove it", where.name, c))
		}
	}
}

// commentIn finds a # that a blank stands before.
func commentIn(text string) int {
	at := strings.IndexByte(text, '#')
	for at > 0 && at < len(text) {
		if blank(text[at-1]) {
			return at
		}
		next := strings.IndexByte(text[at+1:], '#')
		if next < 0 {
			return -1
		}
		at += 1 + next
	}
	return -1
}

// edges are the first and the last letter.
func edges(text string) string {
	letters := []rune(text)
	if len(letters) == 0 {
		return ""
	}
	return string([]rune{letters[0], letters[len(letters)-1]})
}

func invisible(c rune) bool {
	return c > unicode.MaxASCII && (unicode.IsSpace(c) || c == '\ufeff' || unicode.Is(unicode.Cf, c))
}

// longestShown is how much of a value a message shows, in bytes.
const longestShown = 200

// shorten quotes text for a message.
func shorten(text string, most int) string {
	if len(text) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:most], ""))
	}
	return fmt.Sprintf("%q", text)
}

// config makes agents of what was added.
func (r *reading) config() (*Config, Problems) {
	r.props = slices.DeleteFunc(r.props, func(p *property) bool { return r.keys[p.key] != p })
	e := expander{options: r.options, now: r.options.Now, keys: r.keys}
	for _, p := range r.props {
		e.expand(p)
		p.text = trim(p.text)
	}
	config := &Config{}
	if len(r.props) == 0 {
		if !r.problems.Fatal() {
			r.problems = Problems{{Pos: Pos{File: strings.Join(r.files, ", ")}, Severity: Fatal, Text: "holds no settings"}}
		}
		return config, r.problems
	}
	r.place()
	for _, d := range r.running() {
		config.Agents = append(config.Agents, r.assemble(d))
	}
	for i, p := range r.problems {
		if r.byName[p.Agent] == nil {
			r.problems[i].Agent = "" // of base.dir, which is no agent's
		}
	}
	r.problems.Sort()
	return config, r.problems
}
