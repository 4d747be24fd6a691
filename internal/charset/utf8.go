package charset

import "unicode/utf8"

// DecodeUTF8 returns text as Java decodes it from UTF-8: what is malformed becomes U+FFFD, one for each part that Java
// gives up at once. Text without fault is returned as it is.
func DecodeUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/2)
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			out = append(out, text[i])
			i++
			continue
		}
		if r, size := utf8.DecodeRune(text[i:]); r != utf8.RuneError || size > 1 {
			out = append(out, text[i:i+size]...)
			i += size
			continue
		}
		out = utf8.AppendRune(out, utf8.RuneError)
		i += malformed(text[i:])
	}
	return out
}

// malformed is how many bytes of text Java replaces by one character.
func malformed(text []byte) int {
	tail := func(i int) bool { return i < len(text) && text[i]&0xC0 == 0x80 }
	switch first := text[0]; {
	case first >= 0xE0 && first <= 0xEF:
		switch {
		case !tail(1), first == 0xE0 && text[1] < 0xA0:
			return 1
		case !tail(2):
			return 2
		}
		return 3 // a surrogate
	case first >= 0xF0 && first <= 0xF4:
		switch {
		case !tail(1), first == 0xF0 && text[1] < 0x90, first == 0xF4 && text[1] > 0x8F:
			return 1
		case !tail(2):
			return 2
		}
		return 3
	}
	return 1
}
