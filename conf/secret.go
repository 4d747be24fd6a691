package conf

import (
	"strings"
	"unicode"
)

// longestName is more than any key has; what is longer is not looked at and not shown.
const longestName = 1000

// secretName reports whether the value under a name must not be shown. Misspelt names count: a message about a mistake
// is where a secret would be seen. A name too many costs nothing but a value in a message.
func secretName(name string) bool {
	if len(name) > longestName {
		return true
	}
	folded := strings.ToLower(name)
	for _, word := range []string{
		"pass", "pasw", "psw", "pwd", "secret", "secert", "token", "credential", "jaas", "jass", "private",
		"apikey", "api.key", "api-key", "api_key", "accesskey", "access.key", "access-key", "access_key",
	} {
		if strings.Contains(folded, word) {
			return true
		}
	}
	for _, part := range strings.FieldsFunc(name, func(c rune) bool { return !unicode.IsLetter(c) }) {
		part = strings.ToLower(part)
		for _, word := range []string{"password", "passphrase", "secret", "credential", "credentials"} {
			for n := len(word) - 1; n <= len(word)+1 && n <= len(part); n++ {
				if distance(part[len(part)-n:], word) <= len(word)/4 {
					return true
				}
			}
		}
	}
	return false
}

// secretText reports whether a value holds a secret whatever its key is called: password="x", --token x, or a URI with
// user:password@, TOKEN@ or a query such as ?sig=.
func secretText(text string) bool {
	for _, rest, ok := strings.Cut(text, "://"); ok; _, rest, ok = strings.Cut(rest, "://") {
		if secretURI(rest) {
			return true
		}
	}
	from := 0 // where the word begins that stands before an = or a :
	word := ""
	for i, c := range text {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || c == '.' || c == '-' || c == '_':
			if word != "" && i > from+len(word) { // a blank or a quote has ended the word before
				word = ""
			}
			if word == "" {
				from = i
			}
			word = text[from : i+len(string(c))]
		case c == '=' || c == ':':
			if secretName(word) {
				return true
			}
			word = ""
		case unicode.IsSpace(c) && strings.HasPrefix(word, "-") && secretName(word):
			return true
		}
	}
	return false
}

// secretURI reports whether there is a secret in what stands behind the :// of a URI.
func secretURI(rest string) bool {
	if i := strings.IndexFunc(rest, unicode.IsSpace); i >= 0 {
		rest = rest[:i]
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if strings.Contains(authority, "@") {
		return true
	}
	_, query, _ := strings.Cut(rest, "?")
	for _, parameter := range strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' || c == '#' }) {
		name, _, given := strings.Cut(parameter, "=")
		for _, part := range strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return !unicode.IsLetter(c) }) {
			switch part {
			case "sig", "signature", "sign", "key", "auth", "authorization", "code", "jwt", "sas", "hmac", "session", "sid":
				if given {
					return true
				}
			}
		}
	}
	return false
}
