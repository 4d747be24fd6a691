package cli

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLines(t *testing.T) {
	for _, x := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"\n", []string{""}},
		{"a", []string{"a"}},
		{"a\nb\n", []string{"a", "b"}},
		{"a\r\nb\rc\n\rd", []string{"a", "b", "c", "", "d"}},
		{"\r\r\n\n", []string{"", "", ""}},
		{"é\xff\n", []string{"é\xff"}},
		{strings.Repeat("x", 200_000) + "\r\ny", []string{strings.Repeat("x", 200_000), "y"}},
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(x.text), "bytes": iotest.OneByteReader(strings.NewReader(x.text)), "halves": iotest.HalfReader(strings.NewReader(x.text)),
		} {
			in := newLines(r, "text")
			var got []string
			for {
				line, err := in.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(line))
			}
			if !slices.Equal(got, x.want) || in.n != len(x.want) {
				t.Errorf("%.20q by %s: %.80q", x.text, name, got)
			}
		}
	}
	in := newLines(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))), "text")
	if _, err := in.next(); !errors.Is(err, iotest.ErrTimeout) || !strings.HasPrefix(err.Error(), "reading text: ") {
		t.Error(err)
	}
	in = newLines(io.MultiReader(strings.NewReader("a\n"), bytes.NewReader(make([]byte, mostLine+1))), "text")
	if _, err := in.next(); err != nil {
		t.Error(err)
	}
	if _, err := in.next(); err == nil || !strings.Contains(err.Error(), "line 2 has more than") {
		t.Error(err)
	}
}
