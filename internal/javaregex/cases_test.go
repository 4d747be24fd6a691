package javaregex

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// What Java is asked: cases of pattern, text and replacement. A part is what users write, the rest is generated.

const (
	seed      = 20261121
	generated = 4000
)

type question struct{ pattern, text, replacement string }

// questions are the same each time.
func questions() []question {
	var out []question
	for _, p := range strings.Split(strings.Trim(written, "\n"), "\n") {
		for _, text := range lines {
			out = append(out, question{p, text, "<$0>"})
		}
	}
	for _, p := range strings.Split(strings.Trim(odd, "\n"), "\n") {
		for _, text := range []string{"", "a", "aab", "abcabc", "a-b&c]d^e\v", "aXbxc\r\nab\n", "x = 12, é\u0301 ſß"} {
			out = append(out, question{p, text, "[$0]"})
		}
	}
	g := generator{rand.New(rand.NewPCG(seed, 1)), 0, 0}
	for range generated {
		g.groups, g.depth = 0, 0
		q := question{pattern: g.flags() + g.alternatives()}
		q.text = g.text(24)
		if g.IntN(2) == 0 {
			q.text = g.like(q.pattern)
		}
		q.replacement = g.replacement()
		out = append(out, q)
	}
	return out
}

// written are patterns as files for Flume have them.
const written = `
^(ERROR|WARN)
healthcheck
.*
^.*$
(\d):(\d):(\d)
^(?:\n)?(\d\d\d\d-\d\d-\d\d\s\d\d:\d\d)
^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})[,.](\d{3}) +(\w+) +\[([^\]]*)\] (.*)$
^(\S+) \S+ (\S+) \[([\w:/]+\s[+\-]\d{4})\] "(\S+) (\S+)\s*(\S+)?" (\d{3}) (\S+)
(?<level>TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b(?<rest>.*)
^\s*$
^(?!#).+
(?i)error|exception
(?<=user=)\w+
"ts"\s*:\s*(\d{10,13})
^<(\d{1,3})>(\w{3}\s+\d+ [\d:]+) (\S+) ([^:\[]+)(?:\[(\d+)\])?: (.*)
\b(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\b
[\p{L}\p{N}_]+@[\w.-]+\.\p{Alpha}{2,}
(['"])(.*?)\1
(?s)^(.*?)\n(.*)$
(?m)^at .*$
\s++$
(\w+)=("[^"]*+"|\S*)
[A-Za-z0-9_]+
^[A-Za-z0-9_]+
(?>\d+)ms
^(.*?),(.*?),(.*)
\Qa.b*c\E|\[
[^\x00-\x7F]+
(^|,)([^,]*)
\R
[^\p{Print}\t]
((a+)+)+$
`

var lines = []string{
	"2024-03-31 02:30:00,123  ERROR  [main] org.acme.App - user=łukasz failed: \"a=b\"\n",
	"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /a.gif HTTP/1.0\" 200 2326",
	"<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed for user=lonvick on /dev/pts/8",
	"java.lang.IllegalStateException: it's\r\nat a.B.c(D.java:1)\r\nat e.F\n\n",
	"{\"ts\": 1700000000123, \"mail\": \"jörg@exämple.org\", \"took\": 17ms}",
	"1:2:3.4foobar5",
	"\n2012-10-16 12:34 a.b*c[0]\u0085next\u2028last 😀",
	"",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"   \t ",
}

// odd are patterns at the edges of Java's grammar.
const odd = `
a{2}{3}
{1}b
a**
a*?+
(?i)*a
[a&&b]
[a-z&&[def]x]
[a-z&&b&c]
[a-c&&[^b]]
[^a-c&&[^b]]
[a-z&&[^b]&&[^c]]
[a&&[b]c]
[ab&&[bc]d]
[a&b]
[]a]
[^]a]
[a-]
[-a]
[a-c-e]
[a^b]
[[a]b]
[[^a]b]
[^[a]b]
[&&a]
(?x) [a b] c # end
(?x)a # b
(?x)[ ^a]
(?x)a \  b
a{,3}
a{2,1}
a{1
a{
x{
a{0}
a{0,0}b
a{1,}
a{2,}?
a{1,2}+
a?+b
a++b
(a|ab)(c|bcd)
(a|ab){2}+c
(?>a|ab)c
(?:a|ab)++c
(a*)+
(a*)*
(a*){2,3}
(|a)+
(|a)*b
(a|\b)*c
(a?){3}b
(a??){3}b
(?:a?)*?b
(\w)*b
((a)|b)+
((a)|(b))+
(?=(a))ab
(?!(z)b)a
(?<=(a{1,2}))b
(?<!a)b
(?<=a|bc)c
(?<=^|,)a
(?<=a+)b
(?<=\1)(a)
(?<n>a)(?<n>b)
\k<x>
(?<x>a)\k<x>
(?<x1>a)
(?<1x>a)
(?<a_b>a)
\1(a)
(a)\1
(a\1)
(a)|\1b
\2(a)(b)
(a)\12
\0
\08
\07
\0141
\x61
\x{61}
\x{1F600}
\x6
\u0061
\ud83d\ude00
\cA
\c
\e|\a
\_
\-
\E
\Qa\E
\Qa\\E
\Qa.b
\Qab\E*
[\Qa-b\E]
[\Q]\E]
a\Q\E*
\p{Lower}
(?i)\p{Lower}
(?i)\p{Lu}
\pL
\p{L
\p{Foo}
\P{L}+
\p{IsLatin}+
\p{InBasicLatin}+
\p{IsAlphabetic}
\p{sc=Latin}
(?U)\w+
(?U)\b\w
\b
\B
\b.
^
$
\A
\z
\Z
\G
\Ga
(?m)^
(?m)$
(?d)$
(?md)$
(?md)^
(?d).
(?s).
.
\h
\v
\H+
\V+
\R
\R+
\R{2}
\R?
[\v-z]
[\t-\v]
[a-\d]
[\d-z]
[z-a]
[\b]
[\w-a]
(?i)[A-C]
(?iu)ß
(?iu)ſ
(?i)ſ
(?iu)[s]
(?iu)[r-t]
(?i)[^s]
(?iu)é
(?i:a)B
(?-i:a)B
(?i)a(?-i)b
a(?i)b|c
(a(?i)b)c
(?z)
(?c)a
(a
a)
x(?i
(?#c)a
()
(?:)
a||b
|a
a|
(|)
(a|)+b
*a
+a
?a
a|*
(*a)
]
}
a}
a]
\
(?=a)*a
(?=a){2}a
(?!a)*b
(?<=a)+b
\b*a
^*a
$?a
(^a|b)*
(?:a|b)*?c
(?:(a)|b)*
(?:(a)|b|c)*d?
(a)?b
(a)??b
(?:(a)?b)*
(?:x|(a)|b)+?c
(?<=(?<=a)b)c
(?<!(?<!a)b)c
(?=.*c)a
(?=(.*)c)\1
(?>a*)b
(?>a*?)b
a*+a
.*+b
(?:.*)+b
`

// A generator makes patterns and texts.
type generator struct {
	*rand.Rand
	groups, depth int
}

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) flags() string {
	if g.IntN(4) > 0 {
		return ""
	}
	return g.one("(?i)", "(?m)", "(?s)", "(?d)", "(?iu)", "(?x)", "(?U)", "(?ms)", "(?md)", "(?i-s)")
}

func (g *generator) alternatives() string {
	s := g.sequence()
	for g.IntN(5) == 0 {
		s += "|" + g.sequence()
	}
	return s
}

func (g *generator) sequence() string {
	var b strings.Builder
	for range g.IntN(5) {
		b.WriteString(g.atom() + g.quantifier())
	}
	return b.String()
}

func (g *generator) quantifier() string {
	if g.IntN(3) > 0 {
		return ""
	}
	return g.one("*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*", "+") + g.one("", "", "", "?", "+")
}

func (g *generator) atom() string {
	g.depth++
	defer func() { g.depth-- }()
	n := g.IntN(24)
	if g.depth > 3 && n < 9 {
		n = 9 + g.IntN(15)
	}
	switch n {
	case 0, 1, 2:
		g.groups++
		return "(" + g.alternatives() + ")"
	case 3, 4:
		return "(?:" + g.alternatives() + ")"
	case 5:
		return g.one("(?=", "(?!", "(?>", "(?i:", "(?-i:", "(?s:") + g.alternatives() + ")"
	case 6:
		return g.one("(?<=", "(?<!") + g.char() + g.one("", g.class(), g.char()+"?", "|"+g.char()) + ")"
	case 7:
		if g.groups > 0 {
			return "\\" + string(rune('1'+g.IntN(g.groups)%9))
		}
		return g.char()
	case 8, 9, 10:
		return g.class()
	case 11:
		return g.one("^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\G", "^", "$", "\\b")
	case 12, 13:
		return g.one("\\d", "\\w", "\\s", "\\h", "\\v", "\\D", "\\W", "\\S", "\\R", "\\p{L}", "\\p{Upper}", "\\p{IsGreek}", "\\P{Alpha}", "\\p{javaLowerCase}")
	case 14, 15:
		return "."
	case 16:
		return g.one("\\t", "\\n", "\\r", "\\x41", "\\u00e9", "\\.", "\\\\", "\\Qa.b\\E", "\\0101", "\\x{3c3}")
	default:
		return g.char()
	}
}

func (g *generator) char() string {
	return g.one("a", "a", "a", "b", "b", "c", "x", "A", "B", "k", "s", "0", "1", "_", " ", "-", ",", "=", "é", "É", "ſ", "σ", "Σ", "ß", "\u212a", "ı", "İ")
}

func (g *generator) class() string {
	var b strings.Builder
	b.WriteString("[" + g.one("", "", "^"))
	for range 1 + g.IntN(3) {
		b.WriteString(g.one("a", "b", "c", "a-c", "0-9", "A-Z", "k-s", "_", ".", "\\d", "\\w", "\\s", "\\W", "é", "À-ÿ", "σ", "\\n", "\\p{L}", "\\]"))
	}
	switch g.IntN(8) {
	case 0:
		b.WriteString("&&" + g.class())
	case 1:
		b.WriteString("&&" + g.one("a-z", "ab", "\\w", "^b"))
	case 2:
		b.WriteString(g.class())
	}
	b.WriteString("]")
	return b.String()
}

func (g *generator) text(most int) string {
	var b strings.Builder
	for range g.IntN(most) {
		b.WriteString(g.one("a", "a", "a", "a", "b", "b", "b", "c", "c", "x", "A", "B", "K", "k", "s", "S", "0", "1", "_", " ", " ", "-", ",", "=", ".",
			"\n", "\n", "\r", "\r\n", "\t", "é", "É", "ſ", "σ", "ς", "Σ", "ß", "\u212a", "ı", "İ", "\u0085", "\u2028", "e\u0301"))
	}
	return b.String()
}

// like makes a text in which parts of the pattern occur.
func (g *generator) like(pattern string) string {
	var b strings.Builder
	for _, r := range pattern {
		if strings.ContainsRune("()[]{}?*+|^$\\&<>!:", r) {
			continue
		}
		for range g.IntN(3) {
			b.WriteRune(r)
		}
		if g.IntN(6) == 0 {
			b.WriteString(g.text(3))
		}
	}
	b.WriteString(g.one("", "", "", "\n", "\r\n"))
	return b.String()
}

func (g *generator) replacement() string {
	if g.IntN(6) == 0 {
		return g.one("$9", "\\", "$", "$x", "${n}", "${n", "\\$1", "\\\\", "a\\b", "$0$0")
	}
	s := g.one("", "-", "é", "<")
	if g.groups > 0 {
		s += "$" + string(rune('1'+g.IntN(g.groups)%9)) + g.one("", "0", "x")
	}
	return s + g.one("", "$0", ">")
}

// sets are patterns of one code point.
func sets() []string {
	out := []string{
		"\\P{Cn}", // what is assigned
		".", "(?s).", "(?d).", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\h", "\\H", "\\v", "\\V", "\\R",
		"(?U)\\d", "(?U)\\w", "(?U)\\W", "(?U)\\s",
		"(?i)[a-z]", "(?iu)[a-z]", "(?i)[k]", "(?iu)[k]", "(?iu)k", "(?iu)[i]", "(?iu)i", "(?iu)[À-ÿ]", "(?i)[À-ÿ]", "(?iu)[ſ]", "(?iu)ſ", "(?iu)σ", "(?iu)[Σ]",
		"(?iu)[\\x{10400}-\\x{10410}]", "(?iu)µ", "(?iu)[ÿ]", "(?iu)[å]", "(?iu)İ", "(?iu)[ı]", "(?iu)ß", "(?iu)[ẞ]", "(?iu)ǆ", "(?iu)[ǅ]", "(?iu)[^a-z]", "(?i)[^k]",
		"(?iu)[\\u1e9b]", "(?iu)ω", "(?iu)[Ω]", "(?iu)ᾳ", "(?iu)[Ꭰ-Ᏼ]", "(?iu)[ꭰ]", "(?iu)[ა-ჰ]",
		"\\p{IsHan}", "\\p{script=Hira}", "\\p{sc=cyrl}", "\\p{IsLatn}", "\\p{IsCommon}", "\\p{IsUnknown}", "\\p{InGreek}", "\\p{InGREEK AND COPTIC}", "\\p{InGreekExtended}", "\\p{blk=Latin-1 Supplement}", "\\p{block=CYRILLIC}", "\\p{gc=Lu}", "\\p{general_category=Sc}",
		"[\\p{L}&&[^\\p{Lu}]]", "[\\p{L}&&\\p{IsLatin}]", "[^\\p{L}\\d]", "[\\w&&[^\\d_]]",
	}
	for _, flag := range []string{"", "(?i)", "(?U)", "(?iU)"} {
		for _, name := range []string{"Lower", "Upper", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl", "XDigit", "Space", "ASCII",
			"Lu", "Ll", "Lt", "LC", "LD", "L1", "all", "L", "M", "N", "P", "S", "Z", "C", "Cn", "Cc", "Cf", "Co", "Nd", "Nl", "No", "Pc", "Pi", "Pf", "Zs", "Zl", "Sm", "Sk", "Lm", "Lo", "Mn", "Me", "Mc",
			"javaLowerCase", "javaUpperCase", "javaTitleCase", "javaAlphabetic", "javaIdeographic", "javaDigit", "javaDefined", "javaLetter", "javaLetterOrDigit", "javaSpaceChar", "javaWhitespace", "javaISOControl",
			"IsAlphabetic", "IsAssigned", "IsControl", "IsHexDigit", "IsHex_Digit", "IsIdeographic", "IsJoin_Control", "IsLetter", "IsLowercase", "IsUppercase", "IsTitlecase", "IsNoncharacterCodePoint", "IsPunctuation", "IsWhiteSpace", "IsWhite_Space", "IsWord", "IsLu", "IsL", "IsGreek", "IsDigit", "IsAlnum"} {
			out = append(out, flag+"\\p{"+name+"}")
		}
	}
	g := generator{rand.New(rand.NewPCG(seed, 2)), 0, 0}
	for range 300 {
		out = append(out, g.one("", "", "(?i)", "(?iu)", "(?x)")+g.class())
	}
	return out
}

// sequences are bytes of which most are no UTF-8.
func sequences() [][]byte {
	bytes := []byte{'A', 0x80, 0x9F, 0xBF, 0xC2, 0xE0, 0xE2, 0xED, 0xF0, 0xF4, 0xFF}
	out := [][]byte{{}}
	for from, n := 0, 0; n < 3; n++ {
		to := len(out)
		for _, s := range out[from:to] {
			for _, b := range bytes {
				out = append(out, append(slices.Clone(s), b))
			}
		}
		from = to
	}
	g := rand.New(rand.NewPCG(seed, 3))
	for range 1500 {
		s := make([]byte, 4+g.IntN(6))
		for i := range s {
			s[i] = bytes[g.IntN(len(bytes))]
			if g.IntN(4) == 0 {
				s[i] = byte(g.IntN(256))
			}
		}
		out = append(out, s)
	}
	return out
}
