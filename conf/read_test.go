package conf

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// parse reads text as a file named a.conf.
func parse(t *testing.T, o Options, lines ...string) (*Config, Problems) {
	t.Helper()
	c, problems, err := Parse("a.conf", []byte(strings.Join(lines, "\n")), o)
	if err != nil {
		t.Fatal(err)
	}
	return c, problems
}

func TestParse(t *testing.T) {
	c, problems := parse(t, Options{},
		"a1.sources = r1",
		"a1.channels = c1 c2",
		"a1.sinks = k1",
		"a1.sources.r1.type = netcat",
		"a1.sources.r1.channels = c1 c2",
		"a1.channels.c1.type = memory",
		"a1.channels.c2.type = memory",
		"a1.sinks.k1.type = logger",
		"a1.sinks.k1.channel = c1")
	if len(problems) > 0 {
		t.Error(problems)
	}
	a := c.Agent("a1")
	if a == nil || len(a.Sources) != 1 || len(a.Channels) != 2 || len(a.Sinks) != 1 {
		t.Fatalf("agent %+v", a)
	}
	if v, ok := a.Sources[0].Get("channels"); !ok || v.Text != "c1 c2" || v.Pos.String() != "a.conf:5" {
		t.Errorf("channels %+v", v)
	}
}

// TestMistakes: what users get wrong, and what they are told. Each case is added to a file without a mistake.
func TestMistakes(t *testing.T) {
	good := []string{
		"a1.sources = r1", // line 1
		"a1.channels = c1",
		"a1.sinks = k1",
		"a1.sources.r1.type = netcat",
		"a1.sources.r1.channels = c1",
		"a1.channels.c1.type = memory",
		"a1.sinks.k1.type = logger",
		"a1.sinks.k1.channel = c1", // line 8
	}
	for _, c := range []struct{ name, lines, want string }{
		{"none", "", ""},
		{"none: separators, escapes, comments", "# x\n! y\na1.sinks.k1.a: b\na1.sinks.k1.b c\na1.sinks.k1.c = \\\\d \\: \\=\\#\\u0041\\t", ""},
		{"none: a value for others", "PORT = 1\nbase.dir = /x\na1.sinks.k1.dir = ${base.dir}/${PORT}", ""},
		{"none: a # without a blank", "a1.sinks.k1.a = #flume a#b", ""},
		{"none: quotes inside", `a1.sinks.k1.a = 'a' or 'b'`, ""},
		{"duplicate", "a1.sinks.k1.channel = c2", "a.conf:9: a1.sinks.k1.channel: is set in line 8 too, to another value; this line wins"},
		{"duplicate, the same", "a1.sinks.k1.channel=c1", "a.conf:9: a1.sinks.k1.channel: is set in line 8 too, to the same value"},
		{"three times", "a1.sinks.k1.channel = c2\na1.sinks.k1.channel = c1", "a.conf:10: a1.sinks.k1.channel: is set in lines 8 and 9 too, to another value; this line wins"},
		{"four times", "a1.sinks.k1.channel = c1\na1.sinks.k1.channel = c1\na1.sinks.k1.channel = c1", "a.conf:11: a1.sinks.k1.channel: is set in lines 8, 9 and 10 too, to the same value"},
		{"not listed", "a1.sinks.k2.type = null\na1.sinks.k2.channel = c1", "a.conf:9: a1.sinks.k2: is configured and not listed in a1.sinks, so it does not run"},
		{"not listed, misspelt", "a1.sources.rl.port = 1", `a.conf:9: a1.sources.rl: is configured and not listed in a1.sources, so it does not run; did you mean "r1"?`},
		{"no list", "a1.sinkgroups.g1.sinks = k1", "a.conf:9: a1.sinkgroups.g1: is configured, but there is no list a1.sinkgroups, so it does not run"},
		{"no settings", "a1.sinkgroups = g1", "a.conf:9: a1.sinkgroups.g1: is listed and has no settings"},
		{"no settings, and one not listed", "a1.sinkgroups = g1\na1.sinkgroups.g2.sinks = k1",
			`a.conf:9: a1.sinkgroups.g1: is listed and has no settings; did you mean "g2", which is not listed?` + "\n" +
				`a.conf:10: a1.sinkgroups.g2: is configured and not listed in a1.sinkgroups, so it does not run; did you mean "g1"?`},
		{"a dot in a name", "a1.sinkgroups = g.1", "a.conf:9: a1.sinkgroups.g.1: is listed and has no settings; a name must not have a dot"},
		{"list twice in a line", "a1.sinkgroups = g1 g1\na1.sinkgroups.g1.sinks = k1", `a.conf:9: a1.sinkgroups: names "g1" more than once`},
		{"commas", "a1.sinkgroups = g1, g2\na1.sinkgroups.g1.sinks = k1\na1.sinkgroups.g2.sinks = k1",
			"a.conf:9: a1.sinkgroups: the names of a list are separated by blanks; the commas are taken as blanks here, Flume takes them as part of the names"},
		{"a comment in a list", "a1.sinkgroups = g1 # the group\na1.sinkgroups.g1.sinks = k1",
			`a.conf:9: a1.sinkgroups: "g1 # the group" holds a # in the middle: only a whole line can be a comment, so all of it is the value`},
		{"a comment behind a value", "a1.sinks.k1.a = b # c", `a.conf:9: a1.sinks.k1.a: "b # c" holds a # in the middle: only a whole line can be a comment, so all of it is the value`},
		{"a comment behind a secret", "a1.sinks.k1.password = b # c", `a.conf:9: a1.sinks.k1.password: the value holds a # in the middle: only a whole line can be a comment, so all of it is the value`},
		{"quotes", `a1.sinks.k1.a = "b c"`, "a.conf:9: a1.sinks.k1.a: the quotes are part of the value; if they are not meant to be, leave them out"},
		{"lost backslash", `a1.sinks.k1.regex = ^\d+\.log$`, `a.conf:9: a1.sinks.k1.regex: \d is read as d, the value is "^d+.log$"; to keep the backslash, write two`},
		{"lost backslash in a secret", `a1.sinks.k1.password = x\dy`, `a.conf:9: a1.sinks.k1.password: a backslash of the value is dropped; to keep it, write two`},
		{"bad unicode escape", `a1.sinks.k1.dir = C:\users`, `a.conf:9: a1.sinks.k1.dir: a backslash and u must be followed by four hexadecimal digits; to have a backslash itself, write two (C:\\users)`},
		{"bad unicode escape in a key", `a1.sinks.k1.\users = x`, `a.conf:9: a1.sinks.k1.\users: a backslash and u must be followed by four hexadecimal digits; to have a backslash itself, write two (C:\\users)`},
		{"no-break space in a key", "a1.sinks.k1.a\u00a0= b", `a.conf:9: a1.sinks.k1.a\u00a0: the key holds an invisible U+00A0, which is not a blank to Flume; remove it`},
		{"no-break space at the end", "a1.sinks.k1.a = b\u00a0", "a.conf:9: a1.sinks.k1.a: the value holds an invisible U+00A0, which is not a blank to Flume; remove it"},
		{"no type", "a1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1\na1.sinks = k1 k2\na1.sinks.k2.channel = c1",
			"a.conf:11: a1.sinks: is set in line 3 too, to another value; this line wins\na.conf:11: a1.sinks.k2: has no type"},
		{"type misspelt", "a1.configfilters = f1\na1.configfilters.f1.tpye = env", `a.conf:9: a1.configfilters.f1: has no type; "tpye" is set`},
		{"type empty", "a1.configfilters = f1\na1.configfilters.f1.type =", `a.conf:9: a1.configfilters.f1: its type is empty`},
		{"empty list", "a1.sinkgroups =", "a.conf:9: a1.sinkgroups: is empty: as if it were not set"},
		{"group misspelt", "a1.source.r1.port = 1", `a.conf:9: a1.source.r1.port: is not a setting of an agent; did you mean "a1.sources.r1.port"?`},
		{"group left out", "a1.r1.port = 1", `a.conf:9: a1.r1.port: is not a setting of an agent; did you mean "a1.sources.r1.port"?`},
		{"list misspelt", "a1.channel = c1", `a.conf:9: a1.channel: is not a setting of an agent; did you mean "a1.channels"?`},
		{"no setting", "a1.channels.c1 = memory", "a.conf:9: a1.channels.c1: names no setting; keys are a1.channels.NAME.KEY"},
		{"an interceptor of no source", "a1.interceptors.i1.type = host", "a.conf:9: a1.interceptors.i1.type: is not a setting of an agent; it belongs to a source: a1.sources.NAME.interceptors.i1.type"},
		{"a processor of no group", "a1.processor.type = failover", "a.conf:9: a1.processor.type: is not a setting of an agent; it belongs to a sink group: a1.sinkgroups.NAME.processor.type"},
		{"unknown to all", "a1.foo = bar", "a.conf:9: a1.foo: is not a setting of an agent"},
		{"agent misspelt", "al.sources.r1.port = 1\nal.sources.r1.bind = x", `a.conf:9: al: agent "al" lists no sources, channels or sinks, so what is set for it (2 keys) is ignored; did you mean "a1"?`},
		{"agent unlike", "collector.sources.r1.port = 1", `a.conf:9: collector: agent "collector" lists no sources, channels or sinks, so what is set for it (1 key) is ignored; the agents are "a1"`},
		{"agent misspelt in a list", "al.sinks = k1\nal.sinks.k1.type = null", `a.conf:9: al: agent "al" lists no channels; did you mean "a1"?`},
		{"no agent", "PORT = 1", "a.conf:9: PORT: belongs to no agent and no value uses it as ${PORT}; keys are AGENT.sources, AGENT.sinks.NAME.KEY …"},
		{"a comment of another language", "// x", "a.conf:9: //: is read as a key and ignored; a comment begins with #"},
		{"a shell command", "./bin/flume-ng agent", "a.conf:9: ./bin/flume-ng: is not a key of an agent (AGENT.sources, AGENT.sinks.NAME.KEY …); the line is ignored"},
		{"a value for others that has none", "PORT = ${env:NO}", "a.conf:9: PORT: the environment variable NO is not set; set it, or give a default: ${env:NO:-value}"},
		{"a component that is not listed has no value", "a1.sinks.k2.port = ${env:NO}", "a.conf:9: a1.sinks.k2: is configured and not listed in a1.sinks, so it does not run"},
	} {
		lines := append(good[:len(good):len(good)], c.lines)
		cfg, problems := parse(t, Options{}, lines...)
		if got := strings.TrimSpace(problems.String()); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		if a := cfg.Agent("a1"); a == nil || a.Sources[0].Fatal() || a.Channels[0].Fatal() {
			t.Errorf("%s: r1 and c1 cannot run", c.name)
		}
	}
}

// TestListFault: a list that has no value is fatal to the agent, not a list of its text.
func TestListFault(t *testing.T) {
	c, problems := parse(t, Options{}, "a1.sources = ${env:LIST}", "a1.channels = c1", "a1.channels.c1.type = memory", "a1.sources.r1.type = x")
	if len(c.Agent("a1").Sources) > 0 || !problems.Fatal() || len(problems) != 1 || !strings.HasPrefix(problems.String(), "a.conf:1: a1.sources: the environment variable LIST is not set") {
		t.Errorf("%s", problems)
	}
}

// TestOrder: components stand in the order of their list, values in that of the file.
func TestOrder(t *testing.T) {
	c, _ := parse(t, Options{}, "a2.sinks = z y x", "a1.channels = c", "a2.sinks.x.type = 1", "a2.sinks.x.b = 1", "a2.sinks.x.a = 1",
		"a2.channels = c", "a2.sinks.x.b = 2")
	if c.Agents[0].Name != "a2" || c.Agents[1].Name != "a1" || c.Agents[0].Pos.String() != "a.conf:1" {
		t.Errorf("agents %v %v", c.Agents[0], c.Agents[1])
	}
	var names, keys []string
	for _, sec := range c.Agents[0].Sinks {
		names = append(names, sec.Name)
	}
	for _, v := range c.Agents[0].Sinks[2].Values {
		keys = append(keys, v.Key+"="+v.Text)
	}
	if strings.Join(names, " ") != "z y x" || strings.Join(keys, " ") != "type=1 a=1 b=2" {
		t.Errorf("%v %v", names, keys)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadSeveral(t *testing.T) {
	base := write(t, "base.conf", "a1.channels = c1\na1.channels.c1.type = memory\na1.channels.c1.a = 1\na1.channels.c1.b = ${X}\na1.channels.c1.c = 3")
	over := write(t, "over.conf", "X = 7\na1.channels.c1.a = 2\na1.channels.c1.c =")
	c, problems, err := Read([]string{base, over}, Options{})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	c1 := c.Agent("a1").Channels[0]
	for key, want := range map[string]string{"a": "2", "b": "7", "c": ""} {
		if v, _ := c1.Get(key); v.Text != want {
			t.Errorf("%s = %q, want %q", key, v.Text, want)
		}
	}
	if v, _ := c1.Get("a"); v.Pos.File != over || v.Pos.Line != 2 {
		t.Errorf("a is at %v", v.Pos)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	large := write(t, "large.conf", strings.Repeat("#\n", maxFile/2+1))
	for file, want := range map[string]string{
		"no.conf":        "reading the configuration " + dir + "/no.conf (the working directory is " + dir + "): ",
		dir + "/no.conf": "reading the configuration: open " + dir + "/no.conf: ",
		dir:              "reading the configuration: read " + dir + ": is a directory",
		"x.json":         "reading the configuration x.json: Flume's configuration is properties text (a1.sources = r1), not JSON; if that is what the file holds, name it .conf",
		"x.yaml":         "not YAML",
		"x.xml":          "not XML",
		large:            "it holds more than 16 MB",
	} {
		_, _, err := Read([]string{file}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if _, _, err := Read([]string{"no.conf"}, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n\n", "# a\n! b\n"} {
		_, problems := parse(t, Options{}, text)
		if problems.String() != "a.conf: holds no settings\n" || !problems.Fatal() {
			t.Errorf("%q: %s", text, problems)
		}
	}
	full := write(t, "full.conf", "a1.channels = c1\na1.channels.c1.type = memory")
	empty := write(t, "empty.conf", "")
	_, problems, err := Read([]string{full, empty}, Options{})
	if err != nil || problems.String() != empty+": holds no settings\n" || problems.Fatal() {
		t.Errorf("%v %s", err, problems)
	}
}

// TestSecrets: no message holds what stands under a secret's key, or comes from a secret's name.
func TestSecrets(t *testing.T) {
	o := Options{Env: from(map[string]string{"DB_PASSWORD": "hunter2"})}
	c, problems := parse(t, o,
		"a1.channels = c1",
		"a1.channels.c1.type = memory",
		"a1.channels.c1.ssl.keystore.password = \"hunter2\\d # hunter2\"",
		"a1.channels.c1.ssl.keystore.password = \"hunter2\"",
		"a1.channels.c1.sasl.jaas.config = x password=hunter2\\; # hunter2",
		"a1.channels.c1.capacity = ${env:DB_PASSWORD}",
		"a1.channels.c1.accessToken = ${hunter2",
		"my.secret = hunter2",
		"a1.channels.c1.keep = ${my.secret}",
		"a1.channels.c1.again = x${a1.channels.c1.keep}")
	for _, key := range []string{"ssl.keystore.password", "sasl.jaas.config", "capacity", "accessToken", "keep", "again"} {
		if v, _ := c.Agent("a1").Channels[0].Get(key); !v.Secret {
			t.Errorf("%s is no secret", key)
		}
	}
	var s struct{ testSettings }
	s.declare = func(d *Decl) {
		var n int
		d.Int(&n, "capacity", 1, "x")
		d.Int(&n, "ssl.keystore.password", 1, "x")
		d.Int(&n, "keep", 1, "x")
	}
	_, more := Bind(&s, c.Agent("a1").Channels[0])
	all := append(problems, more...)
	if len(all) < 6 || strings.Contains(all.String(), "hunter2") {
		t.Errorf("problems\n%s", all)
	}
}

// TestProblemsOf: problems of other agents are told apart.
// TestSecretsOfMistakes: a misspelt key, or a value that holds a secret, is no reason to show it.
func TestSecretsOfMistakes(t *testing.T) {
	for _, line := range []string{
		"a1.sinks.k1.keystore-pasword = HUNTER2 # x",
		"a1.sinks.k1.keystore-passwrod = HUNTER2 # x",
		"a1.sinks.k1.keystorePssword = HUNTER2 # x",
		"a1.sinks.k1.trustorepaswort = HUNTER2 # x",
		"a1.sinks.k2.pass = HUNTER2 # x",
		"a1.sinks.k1.pwd = HUNTER2 # x",
		`a1.sinks.k1.acces-token = HUNTER2\dx`,
		"a1.sinks.k1.client.secert = HUNTER2 # x",
		"a1.sinks.k1.credentails = HUNTER2 # x",
		`a1.sinks.k1.kafka.producer.sasl.jass.config = X required username="u" password="HUNTER2"; # x`,
		`a1.sinks.k1.kafka.producer.sasl.config = X required username="u" password="HUNTER2"; # x`,
		`a1.sinks.k1.command = curl --password HUNTER2 http://x/ # x`,
		`a1.sinks.k1.command = run PASSWORD: "HUNTER2" # x`,
		"a1.sinks.k1.url = https://user:HUNTER2@host/ # x",
		`a1.sinks.k1.` + strings.Repeat("x", 2000) + ` = HUNTER2 # x`,
	} {
		c, problems := parse(t, Options{}, "a1.sinks = k1", "a1.sinks.k1.type = test", line)
		_, found := Bind(&testSettings{func(d *Decl) {
			d.String(new(string), "keystore-password", "", "x").Secret()
			d.Bool(new(bool), "command", false, "x")
			d.Int(new(int), "url", 1, "x")
		}}, c.Agent("a1").Sinks[0])
		problems = append(problems, found...)
		if text := problems.String(); len(problems) == 0 || strings.Contains(text, "HUNTER2") {
			t.Errorf("%.100s: %s", line, text)
		}
	}
	for _, line := range []string{"a1.sinks.k1.path = /a # x", "a1.sinks.k1.host = h:80 # x", "a1.sinks.k1.url = jdbc:mysql://h:80/d?user=x # x"} {
		_, problems := parse(t, Options{}, "a1.sinks = k1", "a1.sinks.k1.type = test", line)
		_, value, _ := strings.Cut(line, " = ")
		if !strings.Contains(problems.String(), value) {
			t.Errorf("%s: %s", line, problems)
		}
	}
}

// TestGarbage: a file of any bytes is told of in messages of a bounded length that hold no control characters.
func TestGarbage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		text := make([]byte, 40000)
		for i := range text {
			text[i] = byte(random.Uint32())
			if round%2 == 0 && (text[i] == '\n' || text[i] == '\r') {
				text[i] = '.' // keys without end
			}
		}
		_, problems, err := Parse("a.conf", text, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			line := p.String()
			if len(line) > 10000 || strings.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("%d bytes: %.300q", len(line), line)
			}
		}
	}
	names := slices.Repeat([]string{strings.Repeat("x", 100)}, 1000)
	if text := QuoteNames(names); len(text) > 1000 || !strings.HasSuffix(text, "… and 990 more") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestProblemsOf(t *testing.T) {
	_, problems := parse(t, Options{}, "a1.channels = c1", "a2.channels = c2", "X = 1", "base.dir = ${env:NO}", "a1.x = ${base.dir}")
	if got := problems.Of("a2"); len(got) != 3 || got[0].Subject != "a2.channels.c2" || got[1].Subject != "X" || got[2].Subject != "base.dir" {
		t.Errorf("of a2:\n%s", got)
	}
}

func TestSortProblems(t *testing.T) {
	p := func(file string, line int, text string) Problem { return Problem{Pos: Pos{file, line}, Text: text} }
	ps := Problems{p("b", 1, "x"), p("a", 2, "y"), p("a", 2, "x"), p("a", 2, "y"), p("a", 1, "x"), p("b", 1, "x")}
	ps.Sort()
	if got := ps.String(); got != "a:1: x\na:2: y\na:2: x\nb:1: x\n" {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(guide + "*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("a1.sources = r1, r1 # x\nal.sources.r1.type = \\x\na1.sources.r1.type\n//x\na1.sinks.k1.type = ${f['x']}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, problems, err := Parse("f", text, Options{Filters: []FilterKind{testFilter("env")}})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[Problem]bool{}
		for _, p := range problems {
			if seen[p] {
				t.Errorf("twice: %s", p)
			}
			seen[p] = true
		}
		for _, a := range c.Agents {
			for _, group := range [][]*Section{a.Sources, a.Channels, a.Sinks, a.SinkGroups} {
				for _, sec := range group {
					Bind(&testSettings{func(d *Decl) { d.Rest(new(Values), "kafka.", "x") }}, sec)
					if sec.Fatal() && !problems.Of(a.Name).Fatal() {
						t.Errorf("%s cannot run, and no word of it", sec.Path(""))
					}
				}
			}
		}
	})
}
