package conf

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// from looks up in a map.
func from(values map[string]string) Lookup {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

// TestCommonsText compares with what Commons Text 1.9, which Flume substitutes with, made of the same text.
func TestCommonsText(t *testing.T) {
	golden, err := os.ReadFile("testdata/commons-text.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		In, Want string
		Threw    bool
	}
	if err := json.Unmarshal(golden, &cases); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Env:      from(map[string]string{"A": "1", "B": "${env:A}", "C": "x}y", "D": "$${q}", "E": "", "F": "${env:NO:-f}", "G": "A"}),
		Property: from(map[string]string{"s.t": "sys", "A": "other"}),
	}
	same := 0
	for _, c := range cases {
		p := &property{key: "test", text: c.In}
		e := expander{options: o, keys: map[string]*property{"test": p}}
		for k, v := range map[string]string{"P": "7", "a.b": "8", "A": "key"} {
			e.keys[k] = &property{key: k, text: v}
		}
		e.expand(p)
		switch {
		case p.fault != "":
			// What Sluice refuses stays as it stands in Flume, or ends it.
			if !c.Threw && !strings.Contains(c.Want, "${") {
				t.Errorf("%q: %s, Commons Text has %q", c.In, p.fault, c.Want)
			}
		case c.Threw || p.text != c.Want:
			t.Errorf("%q: got %q, Commons Text has %q", c.In, p.text, c.Want)
		default:
			same++
		}
	}
	t.Logf("%d of %d the same", same, len(cases))
}

// value parses lines and returns a1.channels.c1.x.
func value(t *testing.T, o Options, lines ...string) (Value, Problems) {
	t.Helper()
	c, problems := parse(t, o, append(lines, "a1.channels = c1", "a1.channels.c1.type = memory")...)
	v, _ := c.Agent("a1").Channels[0].Get("x")
	if (v.Fault != "") != c.Agent("a1").Channels[0].Fatal() {
		t.Errorf("%q: fault %q, fatal %v", lines, v.Fault, c.Agent("a1").Channels[0].Fatal())
	}
	return v, problems
}

func TestExpand(t *testing.T) {
	o := Options{
		Env:      from(map[string]string{"HOME": "/home/f", "LOOP": "${env:LOOP}", "BACK": "${a1.channels.c1.x}", "EMPTY": ""}),
		Property: from(map[string]string{"user.dir": "/d"}),
		Now:      time.Date(2026, 3, 4, 15, 6, 7, 89e6, time.UTC),
	}
	bare := o
	bare.BareEnv = true
	for _, c := range []struct {
		o              Options
		lines          string
		want, problems string
	}{
		{o, "a1.channels.c1.x = ${env:HOME}/${sys:user.dir}", "/home/f//d", ""},
		{o, "a1.channels.c1.x = ${a1.channels.c1.type}", "memory", ""},
		{o, "a1.channels.c1.x = ${late}\nlate = ${later}\nlater = 1", "1", ""},
		{o, "later = 1\nlate = ${later}\na1.channels.c1.x = ${late}", "1", ""},
		{o, "base.dir = /d\na1.channels.c1.x = ${base.dir}/x", "/d/x", ""},
		{o, "a1.channels.c1.x = $${late} $1 $i ^$", "${late} $1 $i ^$", ""},
		{o, "a1.channels.c1.x = ${date:yyyy-MM-dd'T'HH:mm:ss.SSS}", "2026-03-04T15:06:07.089", ""},
		{o, "a1.channels.c1.x = ${date:yyYY}", "", "a.conf:1: a1.channels.c1.x: ${date:yyYY}: the letter 'Y' of the date pattern is not known"},
		{o, "a1.channels.c1.x = ${env:NO}", "", "a.conf:1: a1.channels.c1.x: the environment variable NO is not set; set it, or give a default: ${env:NO:-value}"},
		{o, "a1.channels.c1.x = ${sys:no}", "", "a.conf:1: a1.channels.c1.x: the system property no is not set; run with -Dno=value, or give a default: ${sys:no:-value}"},
		{o, "a1.channels.c1.x = ${HOME}", "", "a.conf:1: a1.channels.c1.x: ${HOME} is no key of this configuration; for the environment variable, which is set, write ${env:HOME}, for a system property ${sys:HOME}, to keep it as it stands $${HOME}"},
		{bare, "a1.channels.c1.x = ${HOME}", "/home/f", ""},
		{bare, "HOME = /key\na1.channels.c1.x = ${HOME}", "/key", ""},
		{bare, "a1.channels.c1.x = ${NO}", "", "a.conf:1: a1.channels.c1.x: ${NO} is no key of this configuration; for the environment variable write ${env:NO}"},
		{o, "a1.channels.c1.x = ${script:js:1}", "", `a.conf:1: a1.channels.c1.x: ${script:js:1}: there is no prefix "script"; env, sys, java and date are known`},
		{o, "a1.channels.c1.x = ${java:version}", "", "a.conf:1: a1.channels.c1.x: ${java:version} has no value: Sluice runs without Java"},
		{o, "a1.channels.c1.x = ${java:version:-17}", "17", ""},
		{o, "a1.channels.c1.x = ${a1.channels.c1.x}", "", "a.conf:1: a1.channels.c1.x: refers to itself: a1.channels.c1.x -> a1.channels.c1.x"},
		{o, "a1.channels.c1.x = ${b}\nb = ${c}\nc = ${a1.channels.c1.x}", "", "a.conf:1: a1.channels.c1.x: uses ${b}, which has no value (see a.conf:2)\n" +
			"a.conf:2: b: uses ${c}, which has no value (see a.conf:3)\na.conf:3: c: refers to itself: a1.channels.c1.x -> b -> c -> a1.channels.c1.x"},
		{o, "a1.channels.c1.x = ${env:LOOP}", "", "a.conf:1: a1.channels.c1.x: ${env:LOOP} refers to itself"},
		{o, "a1.channels.c1.x = ${env:BACK}", "", "a.conf:1: a1.channels.c1.x: refers to itself: a1.channels.c1.x -> a1.channels.c1.x"},
		{o, "a1.channels.c1.x = a${env:EMPTY}b", "ab", ""},
		{o, "a1.channels.c1.x = ${env:EMPTY}", "", ""}, // Bind warns
		{o, "a1.channels.c1.x = a ${b", "a ${b", "a.conf:1: a1.channels.c1.x: has a ${ without its }; the value is taken as it stands"},
		{o, "a1.channels.c1.x = ${}", "", "a.conf:1: a1.channels.c1.x: ${} names nothing"},
		{o, "a1.channels.c1.x = C:\\users", "", "a.conf:1: a1.channels.c1.x: a backslash and u must be followed by four hexadecimal digits"},
		{o, "a1.channels.c1.x = ${b}\nb = C:\\users", "", "a.conf:1: a1.channels.c1.x: uses ${b}, which has no value (see a.conf:2)\na.conf:2: b: a backslash and u"},
	} {
		v, problems := value(t, c.o, c.lines)
		if v.Fault == "" && v.Text != c.want {
			t.Errorf("%q: got %q", c.lines, v.Text)
		}
		if !strings.HasPrefix(problems.String(), c.problems) || c.problems == "" && len(problems) > 0 {
			t.Errorf("%q:\n%swant %s", c.lines, problems, c.problems)
		}
	}
}

// TestExpandForShell: what the shell of an exec source expands stays, as in Flume.
func TestExpandForShell(t *testing.T) {
	lines := []string{"a1.sources = r1", "a1.sources.r1.type = exec", "a1.sources.r1.command = ls ${DIR}/* $${i} ${env:SET}"}
	o := Options{Env: from(map[string]string{"SET": "1"})}
	c, problems := parse(t, o, append(lines, "a1.sources.r1.shell = /bin/sh -c")...)
	v, _ := c.Agent("a1").Sources[0].Get("command")
	if v.Text != "ls ${DIR}/* ${i} 1" || len(problems) != 1 || problems.Fatal() {
		t.Errorf("%+v\n%s", v, problems)
	}
	if _, problems := parse(t, o, lines...); !problems.Fatal() {
		t.Errorf("without a shell: %s", problems)
	}
}

// TestExpandBounds: values cannot grow without end, nor nest.
func TestExpandBounds(t *testing.T) {
	doubling := []string{"k0 = xxxxxxxxxxxxxxxx"}
	for i := range 40 {
		doubling = append(doubling, fmt.Sprintf("k%d = ${k%d}${k%d}", i+1, i, i))
	}
	chain := []string{"k0 = x"}
	for i := range 5_000 {
		chain = append(chain, fmt.Sprintf("k%d = ${k%d}", i+1, i))
	}
	slices.Reverse(chain)
	many := []string{"k = " + strings.Repeat("x", maxValue/2)}
	for i := range 150 {
		many = append(many, fmt.Sprintf("a1.channels.c1.x%d = ${k}", i))
	}
	env := map[string]string{"E0": ""}
	for i := range 60 {
		env[fmt.Sprint("E", i+1)] = fmt.Sprintf("${env:E%d}${env:E%d}", i, i)
	}
	for name, lines := range map[string][]string{
		"doubling":    append(doubling, "a1.channels.c1.x = ${k40}"),
		"chain":       append(chain, "a1.channels.c1.x = ${k5000}"),
		"many":        append(many, "a1.channels.c1.x = ${k}"),
		"nested":      {"a1.channels.c1.x = " + strings.Repeat("${a:-", 5_000) + strings.Repeat("}", 5_000)},
		"environment": {"a1.channels.c1.x = ${env:E60}"},
	} {
		if v, _ := value(t, Options{Env: from(env)}, lines...); v.Fault == "" {
			t.Errorf("%s: %d bytes", name, len(v.Text))
		}
	}
}

// TestExpandOrder: the order of the lines does not matter.
func TestExpandOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "keys")
		var lines []string
		for i := range n {
			text := fmt.Sprintf("k%d = ", i)
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				text += rapid.SampledFrom([]string{"a", "b", "$${x}", "${env:E}", "${no:-d}"}).Draw(t, "text")
				if i > 0 {
					text += fmt.Sprintf("${k%d}", rapid.IntRange(0, i-1).Draw(t, "other"))
				}
			}
			lines = append(lines, text)
		}
		lines = append(lines, "a1.channels = c1", "a1.channels.c1.type = memory", fmt.Sprintf("a1.channels.c1.x = [${k%d}]", n-1))
		read := func(lines []string) string {
			c, problems, err := Parse("f", []byte(strings.Join(lines, "\n")), Options{Env: from(map[string]string{"E": "e"})})
			if err != nil || problems.Fatal() {
				t.Fatal(err, problems)
			}
			v, _ := c.Agent("a1").Channels[0].Get("x")
			return v.Text
		}
		if a, b := read(lines), read(rapid.Permutation(lines).Draw(t, "order")); a != b {
			t.Errorf("%q and %q", a, b)
		}
	})
}

func TestFormatDate(t *testing.T) {
	at := time.Date(2026, 1, 4, 0, 5, 6, 7e6, time.FixedZone("CET", 3600))
	for pattern, want := range map[string]string{
		"yyyy": "2026", "yy": "26", "y": "2026", "yyyyMMdd": "20260104", "M-d": "1-4", "MMM MMMM": "Jan January",
		"E EEEE": "Sun Sunday", "D DDD": "4 004", "HH:mm:ss.SSS": "00:05:06.007", "h hh a": "12 12 AM", "k K": "24 0",
		"z Z X XX XXX": "CET +0100 +01 +0100 +01:00", "'day' d ''": "day 4 '", "'it''s'": "it's", "u": "7", "d.M. 日": "4.1. 日",
	} {
		if got, err := formatDate(pattern, at); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"", "w", "G", "T"} {
		if got, err := formatDate(pattern, at); err == nil {
			t.Errorf("%q: %q", pattern, got)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"${env:A}", "$${x}", "${a:-${b:-c}}", "${date:yyyy'x'}", "${f1['k']}", "${k}${k2}", "${k2", "${env:B}", "${${env:G}:-1}"} {
		f.Add(s, s)
	}
	o := Options{
		Env:     from(map[string]string{"A": "1", "B": "${env:A}${k}", "G": "k2"}),
		Filters: []FilterKind{testFilter("map")},
		Now:     time.Unix(0, 0),
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		lines := "k = " + a + "\nk2 = " + b + "\na1.channels = c1\na1.channels.c1.type = memory\na1.channels.c1.x = ${k}${k2}" +
			"\na1.configfilters = f1\na1.configfilters.f1.type = map\n"
		c, problems, err := Parse("f", []byte(lines), o)
		if err != nil {
			t.Fatal(err)
		}
		a1 := c.Agent("a1")
		if a1 == nil || len(a1.Channels) == 0 {
			return // a and b can hold lines of their own
		}
		if a1.Channels[0].Fatal() && !problems.Fatal() {
			t.Errorf("c1 cannot run, and no word of it: %s", problems)
		}
		for _, v := range a1.Channels[0].Values {
			if len(v.Text) > maxFile {
				t.Errorf("%d bytes", len(v.Text))
			}
		}
	})
}

// TestExpandForGroup: what names a group of a search_replace interceptor's pattern stays, as in Flume.
func TestExpandForGroup(t *testing.T) {
	const i = "a1.sources.r1.interceptors.i1."
	c, problems := parse(t, Options{}, "a1.sources = r1", "a1.channels = c1", "a1.sources.r1.type = seq", "a1.sources.r1.channels = c1", "a1.channels.c1.type = memory",
		"prefix = p", i+"replaceString = ${prefix}-${name}-${name:-x}", i+"searchPattern = ${name}")
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "searchPattern: ${name} is no key") {
		t.Errorf("%s", problems)
	}
	v, _ := c.Agent("a1").Sources[0].Values.Get("interceptors.i1.replaceString")
	if v.Text != "p-${name}-x" {
		t.Errorf("%q", v.Text)
	}
}
