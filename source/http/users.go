package http

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/sluice-io/sluice/conf"
)

// users are who may post. The zero value lets everybody.
type users struct {
	user, password string
	tokens         []string
}

// Declare declares auth.user, auth.password and auth.tokens.
func (u *users) Declare(d *conf.Decl) {
	d.String(&u.user, "auth.user", "", "The name with which clients must authenticate (Basic); what they send is readable on the way without ssl. A setting of Sluice's own.")
	d.String(&u.password, "auth.password", "", "The password to auth.user.").Secret()
	d.Strings(&u.tokens, "auth.tokens", "", "The tokens with one of which clients must authenticate (Bearer), separated by blanks. With auth.user too, either will do. A setting of Sluice's own.").Secret()
	d.Check(func() error {
		switch {
		case u.user != "" && u.password == "":
			return conf.At("auth.user", errors.New("needs auth.password too"))
		case u.user == "" && u.password != "":
			return conf.At("auth.password", errors.New("needs auth.user too"))
		case strings.Contains(u.user, ":"):
			return conf.At("auth.user", errors.New("holds a colon, which a name in HTTP cannot"))
		}
		return nil
	})
}

// open reports whether everybody may post.
func (u *users) open() bool { return u.user == "" && len(u.tokens) == 0 }

// admit reports whether the request may post, in a time that tells nothing of what was right in it.
func (u *users) admit(r *http.Request) bool {
	if u.open() {
		return true
	}
	ok := 0
	if name, password, basic := r.BasicAuth(); basic && u.user != "" {
		ok |= same(name, u.user) & same(password, u.password)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		token = strings.Trim(token, " ")
		for _, t := range u.tokens {
			ok |= same(token, t)
		}
	}
	return ok == 1
}

// same compares digests, so that the length does not show either.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// challenge says how to authenticate.
func (u *users) challenge(h http.Header) {
	if u.user != "" {
		h.Add("WWW-Authenticate", `Basic realm="flume", charset="UTF-8"`)
	}
	if len(u.tokens) > 0 {
		h.Add("WWW-Authenticate", `Bearer realm="flume"`)
	}
}
