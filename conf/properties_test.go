package conf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// properties reads text into a map, the last of each key.
func properties(text []byte) (got map[string]string, bad bool) {
	props, _ := parseProperties("a.conf", text)
	got = map[string]string{}
	for _, p := range props {
		got[p.key] = p.text
		bad = bad || p.fault != ""
	}
	return got, bad
}

// TestJavaProperties compares with what java.util.Properties.load (Java 17) made of the same text.
func TestJavaProperties(t *testing.T) {
	golden, err := os.ReadFile("testdata/java-properties.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		In   string
		Want map[string]string
		Bad  bool // it threw
	}
	if err := json.Unmarshal(golden, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 1000 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		got, bad := properties([]byte(c.In))
		if bad != c.Bad {
			t.Errorf("%q: bad is %v", c.In, bad)
		}
		if c.Bad {
			continue
		}
		if c.Want[""] == "" {
			delete(c.Want, "") // Java makes a property of a lone backslash at the end of the text
			if got[""] == "" {
				delete(got, "")
			}
		}
		if !maps.Equal(got, c.Want) {
			t.Errorf("%q: got %q, Java has %q", c.In, got, c.Want)
		}
	}
}

func TestPropertyPositions(t *testing.T) {
	const text = "# comment\r\n\r\na = 1\rb = 2 \\\n  3 \\\r\n  4\nc\n\n! x\n  d:5\n\\\n\\\ne = 6\\\n"
	props, problems := parseProperties("f", []byte(text))
	if len(problems) > 0 {
		t.Error(problems)
	}
	var got []string
	for _, p := range props {
		got = append(got, p.pos.String()+" "+p.key+"="+p.text)
	}
	want := "f:3 a=1|f:4 b=2 3 4|f:7 c=|f:10 d=5|f:13 e=6"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestEncodings(t *testing.T) {
	for _, c := range []struct{ name, text, want, problem string }{
		{"UTF-8", "a = caf\u00e9 \u4e2d", "caf\u00e9 \u4e2d", ""},
		{"byte order mark", "\xef\xbb\xbfa = b", "b", ""},
		{"ISO 8859-1", "# gr\xfc\xdfe\na = caf\xe9", "caf\u00e9", "f:2: a: the file is not UTF-8"},
		{"ISO 8859-1 in comments only", "# gr\xfc\xdfe\na = b", "b", ""},
		{"UTF-16", "\xff\xfea\x00=\x00b\x00", "", "f: is UTF-16 text"},
	} {
		props, problems := parseProperties("f", []byte(c.text))
		got := ""
		if len(props) > 0 {
			got = props[len(props)-1].text
		}
		if got != c.want || !strings.HasPrefix(problems.String(), c.problem) || c.problem == "" && len(problems) > 0 {
			t.Errorf("%s: got %q and %s", c.name, got, problems)
		}
	}
}

// TestWritten: what is written with Java's escapes is read again.
func TestWritten(t *testing.T) {
	text := rapid.StringOf(rapid.SampledFrom([]rune("ab \t\n\r\f=:#!\\u0é中😀\u00a0")))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOfN(text, text, 0, 5).Draw(t, "properties")
		var b strings.Builder
		write := func(s string) {
			for _, c := range s {
				switch {
				case strings.ContainsRune("\t\n\r\f", c):
					b.WriteString(map[rune]string{'\t': `\t`, '\n': `\n`, '\r': `\r`, '\f': `\f`}[c])
				case strings.ContainsRune(` =:#!\`, c):
					b.WriteString(`\` + string(c))
				case c > 127 && rapid.Bool().Draw(t, "escaped"):
					for _, unit := range utf16.Encode([]rune{c}) {
						fmt.Fprintf(&b, `\u%04x`, unit)
					}
				default:
					b.WriteRune(c)
				}
				b.WriteString(rapid.SampledFrom([]string{"", "", "", "", "\\\n", "\\\r\n \t", "\\\r\f"}).Draw(t, "continued"))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(want)) {
			write(k)
			b.WriteString(rapid.SampledFrom([]string{"=", ":", " = ", "\t:\f"}).Draw(t, "separator"))
			write(want[k])
			b.WriteString(rapid.SampledFrom([]string{"\n", "\r", "\r\n", "\n\n# x\\\n", "\n \t\n"}).Draw(t, "end"))
		}
		got, bad := properties([]byte(b.String()))
		if bad || !maps.Equal(got, want) {
			t.Errorf("%q\ngot  %q\nwant %q", b.String(), got, want)
		}
	})
}

func FuzzProperties(f *testing.F) {
	for _, s := range []string{"a = b\\\n c", "a=\\u00e9", "\\\n#x\ra:b", "a\\ b=\xe9", "a=\\ud83d\\ude00\\ud800", "\xef\xbb\xbfa=b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		props, _ := parseProperties("f", text)
		lines := 1 + bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r"))
		last := 0
		for _, p := range props {
			if p.pos.Line <= last || p.pos.Line > lines {
				t.Errorf("line %d after %d of %d", p.pos.Line, last, lines)
			}
			last = p.pos.Line
			if !utf8.ValidString(p.key) || !utf8.ValidString(p.text) {
				t.Errorf("%q = %q is not UTF-8", p.key, p.text)
			}
		}
	})
}
