package cli

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		line  string
		want  map[string][]string
		words []string
		err   string
	}{
		{line: "-n a1 -f x", want: map[string][]string{"name": {"a1"}, "conf-file": {"x"}}},
		{line: "-n=a1", want: map[string][]string{"name": {"a1"}}},
		{line: "-na1", want: map[string][]string{"name": {"a1"}}},
		{line: "-name a1", want: map[string][]string{"name": {"a1"}}},
		{line: "-name=a1", want: map[string][]string{"name": {"a1"}}},
		{line: "-namea1", want: map[string][]string{"name": {"a1"}}},
		{line: "--name a1", want: map[string][]string{"name": {"a1"}}},
		{line: "--name=a1", want: map[string][]string{"name": {"a1"}}},
		{line: "--nam a1", want: map[string][]string{"name": {"a1"}}},
		{line: "--conf-f x", want: map[string][]string{"conf-file": {"x"}}},
		{line: "-conf-file x", want: map[string][]string{"conf-file": {"x"}}},
		{line: "--conf-f=x=y", want: map[string][]string{"conf-file": {"x=y"}}},
		{line: "-f a -f b", want: map[string][]string{"conf-file": {"a", "b"}}},
		{line: "-user u -pwd p", want: map[string][]string{"conf-user": {"u"}, "conf-password": {"p"}}},
		{line: "-prov C", want: map[string][]string{"conf-provider": {"C"}}},
		{line: "--no-reload-conf -n a1 stray", want: map[string][]string{"no-reload-conf": {"true"}, "name": {"a1"}}, words: []string{"stray"}},
		{line: "--no-rel -na1", want: map[string][]string{"no-reload-conf": {"true"}, "name": {"a1"}}},
		{line: "-n a1 -- -f x", want: map[string][]string{"name": {"a1"}}, words: []string{"-f", "x"}},
		{line: "-n -1", want: map[string][]string{"name": {"-1"}}},
		{line: "-h", want: map[string][]string{"help": {"true"}}},
		{line: `-n "a1"`, want: map[string][]string{"name": {"a1"}}},
		{line: "-n", err: "option -n (--name) needs a value: NAME"},
		{line: "-n -f x", err: "option -n (--name) needs a value: NAME"},
		{line: "--conf x", err: "option --conf can mean --conf-file, --conf-uri, --conf-provider, --conf-user, --conf-password"},
		{line: "--help=yes", err: "option -h (--help) takes no value"},
		{line: "--nmae a1", err: `option --nmae is not known; did you mean --name?`},
		{line: "-q", err: "option -q is not known"},
		{line: "--qqqqqqqqq", err: "option --qqqqqqqqq is not known"},
		{line: "- -n a1", want: map[string][]string{"name": {"a1"}}, words: []string{"-"}},
	}
	for _, test := range tests {
		got, err := parseOptions(agentOptions(), strings.Fields(test.line))
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%s: error %v, want %s", test.line, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.line, err)
			continue
		}
		if !maps.EqualFunc(got.values, test.want, slices.Equal) || !slices.Equal(got.words, test.words) {
			t.Errorf("%s: %v and %q, want %v and %q", test.line, got.values, got.words, test.want, test.words)
		}
	}
}

// No two options of a command share a name.
func TestOptionNames(t *testing.T) {
	for _, c := range commands() {
		seen := map[string]bool{}
		for _, o := range c.options {
			for _, name := range []string{o.short, o.long} {
				if name != "" && seen[name] {
					t.Errorf("%s: two options are called %s", c.name, name)
				}
				seen[name] = true
			}
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("-n a1 -f x --conf-f=y -na1 -- z")
	f.Add("-h-n=--n -- =")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		first, err1 := parseOptions(agentOptions(), args)
		second, err2 := parseOptions(agentOptions(), args)
		if !reflect.DeepEqual(first, second) || (err1 == nil) != (err2 == nil) {
			t.Fatalf("two readings of %q differ", args)
		}
	})
}
