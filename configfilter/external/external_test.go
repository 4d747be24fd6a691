package external

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/conf"
)

// script writes a shell program.
func script(t *testing.T, body string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "get")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// read reads a file whose a1.channels.c1.password is ${f1['key']}.
func read(t *testing.T, settings ...string) (conf.Value, conf.Problems) {
	t.Helper()
	lines := append([]string{"a1.configfilters = f1", "a1.configfilters.f1.type = external",
		"a1.channels = c1", "a1.channels.c1.type = memory", "a1.channels.c1.password = ${f1['key']}"}, settings...)
	c, problems, err := conf.Parse("f", []byte(strings.Join(lines, "\n")), conf.Options{Filters: []conf.FilterKind{Kind}})
	if err != nil {
		t.Fatal(err)
	}
	v, _ := c.Agent("a1").Channels[0].Get("password")
	return v, problems
}

func TestExternal(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct{ name, body, settings, want, problem string }{
		{"its arguments", `echo "$1 $2 $3|$#"`, " a  'b", "a 'b key|3", ""},
		{"no shell", `echo "$*"`, " $HOME *", "$HOME * key", ""},
		{"no line end", "printf hunter2", "", secret, ""},
		{"CR LF", `printf 'hunter2\r\n'`, "", secret, ""},
		{"UTF-8", `printf 'caf\303\251'`, "", "café", ""},
		{"UTF-8 that is none", `printf 'caf\351'`, "", "caf\ufffd", ""},
		{"ISO 8859-1", `printf 'caf\351'`, "\na1.configfilters.f1.charset = iso-8859-1", "café", ""},
		{"ASCII", `printf 'caf\351'`, "\na1.configfilters.f1.charset = US-ASCII", "caf\ufffd", ""},
		{"two lines", "echo hunter2; echo more", "", secret, "printed more than one line"},
		{"nothing", "true", "", "", "printed nothing"},
		{"an empty line", "echo; echo hunter2", "", "", "printed nothing on its first line"},
		{"status", "echo hunter2; echo hunter2 >&2; exit 3", "", "", "exit status 3"},
		{"too much", "head -c 2000000 /dev/zero", "", "", "printed more than 1048576 bytes"},
		{"another charset", "echo hunter2", "\na1.configfilters.f1.charset = KOI8-R", "", `"KOI8-R" is not one of UTF-8`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, problems := read(t, "a1.configfilters.f1.command = "+script(t, c.body)+c.settings)
			if v.Fault == "" && v.Text != c.want {
				t.Errorf("got %q", v.Text)
			}
			if (v.Fault == "") != (c.want != "") || !v.Secret {
				t.Errorf("%+v", v)
			}
			said := problems.String()
			if !strings.Contains(said, c.problem) || c.problem == "" && said != "" || strings.Contains(said, secret) {
				t.Errorf("problems %s", said)
			}
		})
	}
	if _, problems := read(t); !strings.Contains(problems.String(), "f1.command: is required") {
		t.Errorf("without a command: %s", problems)
	}
	if _, problems := read(t, "a1.configfilters.f1.command = /nonexistent/get"); !strings.Contains(problems.String(), "no such file") {
		t.Errorf("no such program: %s", problems)
	}
}

// TestPatience: a program that does not end is ended, and so is what it has started.
func TestPatience(t *testing.T) {
	left := filepath.Join(t.TempDir(), "left")
	f := &filter{Settings{command: []string{script(t, "(sleep 1; touch "+left+") & echo secret; wait")}, charset: "UTF-8"}, 100 * time.Millisecond}
	began := time.Now()
	text, err := f.Lookup("key")
	if text != "" || err == nil || !strings.Contains(err.Error(), "ran for more than") {
		t.Errorf("%q, %v", text, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what it started went on")
	}
}
