package harness

import (
	"strings"
	"testing"
)

func TestConf(t *testing.T) {
	c := Conf("# a.b = no\na.b=1\na.b.c = 2\n")
	for _, s := range []struct{ key, value, want string }{
		{"a.b", "9", "# a.b = no\na.b = 9\na.b.c = 2\n"},
		{"a.b.c", "9", "# a.b = no\na.b=1\na.b.c = 9\n"},
		{"a", "9", "# a.b = no\na.b=1\na.b.c = 2\na = 9\n"},
	} {
		if got := c.Set(s.key, s.value); string(got) != s.want {
			t.Errorf("Set(%q) gives %q, want %q", s.key, got, s.want)
		}
	}
	if got := c.SetAll("p.", [][2]string{{"x", `a\"b`}}); !strings.HasSuffix(string(got), "p.x = a\\\\\"b\n") {
		t.Errorf("SetAll gives %q", got)
	}
	if got := c.Drop("a.b.c"); string(got) != "# a.b = no\na.b=1\n" {
		t.Errorf("Drop gives %q", got)
	}
}

// The user's files are known by their mistakes; an edited copy would prove less.
func TestUserFiles(t *testing.T) {
	for text, lines := range map[Conf]int{TextA(): 22, TextB(): 17} {
		if n := strings.Count(string(text), "\n"); n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, text)
		}
	}
	if !strings.Contains(string(TextA()), "checkpontDir=") {
		t.Error("the misspelt key is gone")
	}
}
