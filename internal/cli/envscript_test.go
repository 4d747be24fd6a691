package cli

import (
	"fmt"
	"slices"
	"testing"
)

func TestEnvScript(t *testing.T) {
	environ := func(name string) (string, bool) {
		v, ok := map[string]string{"HOME": "/home/u", "JAVA_OPTS": "-Xmx20m", "EMPTY": "", "OUTER": "o"}[name]
		return v, ok
	}
	tests := []struct {
		name, text string
		want       map[string]string // "" is not set
		exported   []string
		skipped    []string
	}{
		{name: "plain", text: "export A=1\nB=2 # two\n\n  # C=3\nD=",
			want: map[string]string{"A": "1", "B": "2", "C": ""}, exported: []string{"A"}},
		{name: "quotes", text: `export A="x y" B='$HOME "q"' C=a\ b D="a\"b\$c\d"'e'`,
			want: map[string]string{"A": "x y", "B": `$HOME "q"`, "C": "a b", "D": `a"b$c\de`}, exported: []string{"A", "B", "C", "D"}},
		{name: "expansion", text: "A=${HOME}/x\nB=$A/y$\nC=${NONE:-d}${EMPTY:-e}${EMPTY-f}\nE=~/z\nF=x~",
			want: map[string]string{"A": "/home/u/x", "B": "/home/u/x/y$", "C": "de", "E": "/home/u/z", "F": "x~"}},
		{name: "added to", text: `export JAVA_OPTS="$JAVA_OPTS -Dx=1"; JAVA_OPTS="$JAVA_OPTS -Dy=2"`,
			want: map[string]string{"JAVA_OPTS": "-Xmx20m -Dx=1 -Dy=2"}, exported: []string{"JAVA_OPTS"}},
		{name: "set then exported", text: "A=1\nB=2\nexport A", want: map[string]string{"A": "1"}, exported: []string{"A"}},
		{name: "of the environment", text: "OUTER=x", want: map[string]string{"OUTER": "x"}, exported: []string{"OUTER"}},
		{name: "continued", text: "export A=1\\\n2 \\\n  B=3\nC=\"a\\\nb\"", want: map[string]string{"A": "12", "B": "3", "C": "ab"}, exported: []string{"A", "B"}},
		{name: "many lines in quotes", text: "export A=\"-Da=1\n -Db=2\"\nB=`date`", want: map[string]string{"A": "-Da=1\n -Db=2", "B": ""},
			exported: []string{"A"}, skipped: []string{"3: B=`date`"}},
		{name: "what needs a shell", text: "export A=$(hostname)\nulimit -n 65536\n. ./other.sh\nB=1 && C=2\nexport D=${X%y}\nE=1 run\nF=2",
			want:    map[string]string{"A": "", "B": "", "C": "", "D": "", "E": "", "F": "2"},
			skipped: []string{"1: export A=$(hostname)", "2: ulimit -n 65536", "3: . ./other.sh", "4: B=1 && C=2", "5: export D=${X%y}", "6: E=1 run"}},
		{name: "blocks", text: "if [ -z \"$A\" ]; then\n  export A=1\n  if true; then B=1; fi\nfi\nC=1\nf() {\n D=1\n}\nfor x in 1 2; do E=1; done\nG=1",
			want:    map[string]string{"A": "", "B": "", "C": "1", "D": "", "E": "", "G": "1"},
			skipped: []string{`1: if [ -z "$A" ];`, "2: export A=1", "3: if true;", "3: then B=1;", "6: f() {", "7: D=1", "9: for x in 1 2;", "9: do E=1;"}},
		{name: "more blocks", text: "case $A in\n a) B=1;;\n *) C=1;;\nesac\nfunction g {\n D=1\n}\nh() { E=1; F=1; }\nif x\nthen\n  A=1\nelse A=2\nfi\nG=1",
			want:    map[string]string{"A": "", "B": "", "C": "", "D": "", "E": "", "F": "", "G": "1"},
			skipped: []string{"1: case $A in", "2: a) B=1;", "3: *) C=1;", "5: function g {", "6: D=1", "8: h() { E=1;", "8: F=1;", "9: if x", "11: A=1", "12: else A=2"}},
		{name: "a block behind a condition", text: "x && if y; then A=1; fi\nB=1", want: map[string]string{"A": "", "B": "1"},
			skipped: []string{"1: x && if y;", "1: then A=1;"}},
		{name: "windows", text: "export A=1\r\nexport B=\"2\"\r\n", want: map[string]string{"A": "1", "B": "2"}, exported: []string{"A", "B"}},
		{name: "never closed", text: "A='1\nB=2", want: map[string]string{"A": "", "B": ""}, skipped: []string{"1: A='1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newEnvScript(environ)
			s.read(test.text)
			for name, want := range test.want {
				if got := s.vars[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			for _, name := range test.exported {
				if !s.exported[name] {
					t.Errorf("%s is not exported", name)
				}
			}
			if len(s.exported) != len(test.exported) {
				t.Errorf("exported are %v, want %v", s.exported, test.exported)
			}
			var skipped []string
			for _, line := range s.skipped {
				skipped = append(skipped, fmt.Sprintf("%d: %s", line.line, line.text))
			}
			if !slices.Equal(skipped, test.skipped) {
				t.Errorf("skipped are %q, want %q", skipped, test.skipped)
			}
		})
	}
}

func FuzzEnvScript(f *testing.F) {
	f.Add("export A=\"$B\" C='d' # e\nif x; then\nfi\n${F:-g}$(h)`i`\\")
	f.Fuzz(func(t *testing.T, text string) {
		s := newEnvScript(func(string) (string, bool) { return "v", true })
		s.read(text)
		for name := range s.exported {
			if _, ok := s.vars[name]; !ok {
				t.Errorf("%q is exported and not set", name)
			}
		}
		if s.at != len(text) {
			t.Errorf("%d of %d bytes were read", s.at, len(text))
		}
	})
}
