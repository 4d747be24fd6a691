package charset

import (
	"bytes"
	"fmt"
	"testing"
	"unicode/utf8"
)

// What Java 17 answers: new String(bytes, charset) as UTF-8, and its getBytes(charset).
func TestCharsets(t *testing.T) {
	for _, x := range []struct{ name, bytes, text, back string }{
		{"UTF-8", "61ff62", "a\ufffdb", "61efbfbd62"},
		{"utf8", "c3a9", "é", "c3a9"},
		{"ISO-8859-1", "61e980", "aé\u0080", "61e980"},
		{"Latin1", "", "", ""},
		{"US-ASCII", "61e9", "a\ufffd", "613f"},
		{"UTF-16", "006100", "a\ufffd", "feff0061fffd"},
		{"UTF-16", "feff0061", "a", "feff0061"},
		{"UTF-16", "fffe6100", "a", "feff0061"},
		{"UTF-16", "", "", ""},
		{"UTF-16", "feff", "", ""},
		{"UTF-16BE", "d83dde000061", "😀a", "d83dde000061"},
		{"UTF-16BE", "feff0061", "\ufeffa", "feff0061"},
		{"UTF-16BE", "d83d0061", "\ufffda", "fffd0061"},
		{"UTF-16BE", "de000061d83d", "\ufffda\ufffd", "fffd0061fffd"},
		{"UTF-16LE", "fffe610000d8", "\ufeffa\ufffd", "fffe6100fdff"},
		{"UTF-32", "0000feff00000061", "a", "00000061"},
		{"UTF-32", "fffe000061000000", "a", "00000061"},
		{"UTF-32", "0001f600000000", "😀\ufffd", "0001f6000000fffd"},
		{"UTF-32", "00110000000000e9", "\ufffdé", "0000fffd000000e9"},
		{"UTF-32", "", "", ""},
	} {
		c, ok := Find(x.name)
		if x.name == "UTF-32" {
			c, ok = UTF32, !ok
		}
		if !ok {
			t.Fatal(x.name)
		}
		var in []byte
		if _, err := fmt.Sscanf(x.bytes, "%x", &in); err != nil && x.bytes != "" {
			t.Fatal(err)
		}
		text := c.Decode(in)
		if string(text) != x.text {
			t.Errorf("%s: %s is %q instead of %q", x.name, x.bytes, text, x.text)
		}
		if back := fmt.Sprintf("%x", c.Encode(text)); back != x.back {
			t.Errorf("%s: %q is %s instead of %s", x.name, text, back, x.back)
		}
	}
	if got := string(Latin1.Encode([]byte("€é"))); got != "?\xe9" {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"EBCDIC", "UTF-32", "utf32"} {
		if _, ok := Find(name); ok {
			t.Errorf("%s may be named", name)
		}
	}
}

// Strict text is what Decode makes of bytes that are all characters.
func TestStrict(t *testing.T) {
	for _, x := range []struct {
		charset Charset
		bytes   string
		ok      bool
	}{
		{UTF8, "é", true}, {UTF8, "\xe9", false}, {UTF8, "\xed\xa0\x80", false}, {ASCII, "a", true}, {ASCII, "\xe9", false}, {Latin1, "\xe9", true},
		{UTF16, "\xff\xfea\x00", true}, {UTF16, "\x00a\x00", false}, {UTF16BE, "\xd8\x3d\xde\x00", true}, {UTF16BE, "\xd8\x3d\x00a", false}, {UTF16LE, "a\x00", true},
	} {
		text, ok := x.charset.Strict([]byte(x.bytes))
		if ok != x.ok || ok && !bytes.Equal(text, x.charset.Decode([]byte(x.bytes))) {
			t.Errorf("%d: %q is %q, %v", x.charset, x.bytes, text, ok)
		}
	}
}

// Whatever the bytes are, the text is UTF-8, and text comes back as it was.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(3), []byte("\xff\xfea\x00\x00\xd8"))
	f.Add(uint8(0), []byte("\xed\xa0\x80é"))
	f.Fuzz(func(t *testing.T, number uint8, b []byte) {
		c := Charset(number % 7)
		text := c.Decode(b)
		if !utf8.Valid(text) {
			t.Fatalf("%q", text)
		}
		if again := c.Append([]byte("x"), b); string(again) != "x"+string(text) {
			t.Errorf("appended it is %q", again)
		}
		if c == Latin1 || c == ASCII && bytes.ContainsRune(text, utf8.RuneError) {
			return
		}
		if again := c.Decode(c.Encode(text)); !bytes.Equal(again, text) {
			t.Errorf("%q has become %q", text, again)
		}
	})
}
