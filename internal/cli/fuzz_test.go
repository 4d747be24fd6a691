package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Lines are what is between the ends, whatever the pieces in which they come.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "a", "a\nb", "a\r\nb\r\r\n\n", "\xff\r", strings.Repeat("x", 70_000) + "\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plain := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n")
		want := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
		if plain == "" {
			want = nil
		}
		for _, r := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text))} {
			in := newLines(r, "text")
			for i := 0; ; i++ {
				line, err := in.next()
				if errors.Is(err, io.EOF) {
					if i != len(want) {
						t.Fatalf("%d lines instead of %d", i, len(want))
					}
					break
				}
				if err != nil || i >= len(want) || string(line) != want[i] {
					t.Fatalf("line %d is %q: %v", i, line, err)
				}
			}
		}
	})
}
