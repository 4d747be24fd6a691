package javaregex

import (
	"slices"
	"testing"
)

// What Java 17 answers.
func TestSplit(t *testing.T) {
	for _, x := range []struct {
		pattern, text string
		want          []string
	}{
		{`\s*,\s*`, "a, b ,c", []string{"a", "b", "c"}},
		{`\s*,\s*`, ",,a,,", []string{"", "", "a"}},
		{`\s*,\s*`, "", []string{""}},
		{`,`, ",", []string{}},
		{``, "abc", []string{"a", "b", "c"}},
		{`b*`, "abbc", []string{"a", "", "c"}},
		{`;`, " a;b", []string{" a", "b"}},
		{`(?=b)`, "abab", []string{"a", "ba", "b"}},
		{`^`, "abc", []string{"abc"}},
		{`,`, "abc", []string{"abc"}},
	} {
		if got, err := compile(t, x.pattern).Split(x.text); err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%q cut by %q is %q instead of %q; %v", x.text, x.pattern, got, x.want, err)
		}
	}
}
