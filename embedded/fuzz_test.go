package embedded

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-io/sluice/conf"
)

// What is written as a file's text is read as what it was, but for blanks around it.
func FuzzEscape(f *testing.F) {
	f.Add("a.b", "c")
	f.Add(`k\ =:#!`, " \t\\n\r\n\f ż")
	f.Fuzz(func(t *testing.T, key, value string) {
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		for _, s := range []string{key, value} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r\f", r) }) {
				t.Skip()
			}
		}
		if key == "" {
			t.Skip()
		}
		values, problems := conf.Properties("text", []byte(escape(key, true)+" = "+escape(value, false)+"\nnext = 1\n"))
		if len(problems) > 0 || len(values) != 2 && key != "next" || values[0].Key != key || key != "next" && values[0].Text != value {
			t.Errorf("%q = %q is read as %v, %v", key, value, values, problems)
		}
	})
}
