package kafka

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// bearer logs in with a token: fetched from an endpoint, read from a file, or made from the login module's options.
// The last has no signature; brokers that are set up for tests take it.
func (l *login) bearer(m *module) (sasl.Mechanism, error) {
	if m != nil && !m.is("OAuthBearerLoginModule") {
		return nil, errors.New("sasl.mechanism OAUTHBEARER needs the login module OAuthBearerLoginModule")
	}
	if !l.fetches && l.endpoint == "" {
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) { return unsecured(m.options, time.Now()) }), nil
	}
	extensions := map[string]string{}
	if m != nil {
		for k, v := range m.options {
			if name, ok := strings.CutPrefix(k, "extension_"); ok {
				extensions[name] = v
			}
		}
	}
	if path, ok := strings.CutPrefix(l.endpoint, "file:"); ok {
		path = "/" + strings.TrimLeft(path, "/")
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := os.ReadFile(path)
			if err != nil {
				return oauth.Auth{}, fmt.Errorf("reading the token: %w", err)
			}
			return oauth.Auth{Token: strings.TrimSpace(string(token)), Extensions: extensions}, nil
		}), nil
	}
	t, err := l.tokens(m)
	if err != nil {
		return nil, err
	}
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := t.get(ctx)
		return oauth.Auth{Token: token, Extensions: extensions}, err
	}), nil
}

// unsecured makes the token that Kafka's own client makes when it is not told where to fetch one.
func unsecured(options map[string]string, now time.Time) (oauth.Auth, error) {
	claims, extensions := map[string]any{}, map[string]string{}
	principal, scope := "sub", "scope"
	life := time.Hour
	for k, v := range options {
		switch {
		case k == "unsecuredLoginPrincipalClaimName":
			principal = v
		case k == "unsecuredLoginScopeClaimName":
			scope = v
		case k == "unsecuredLoginLifetimeSeconds":
			n, err := strconv.ParseInt(v, 10, 32)
			if err != nil {
				return oauth.Auth{}, errors.New("reading the login module: unsecuredLoginLifetimeSeconds is not a number")
			}
			life = time.Duration(n) * time.Second
		default:
			if err := claim(claims, extensions, k, v); err != nil {
				return oauth.Auth{}, err
			}
		}
	}
	if _, ok := claims[principal].(string); !ok {
		return oauth.Auth{}, fmt.Errorf("reading the login module: unsecuredLoginStringClaim_%s=\"…\" is missing, the name to log in as; or set sasl.oauthbearer.token.endpoint.url", principal)
	}
	if _, ok := claims["iat"]; !ok {
		claims["iat"] = float64(now.UnixMilli()) / 1000
	}
	if _, ok := claims["exp"]; !ok {
		claims["exp"] = float64(now.Add(life).UnixMilli()) / 1000
	}
	if text, ok := claims[scope].(string); ok && scope != principal {
		claims[scope] = strings.Fields(text)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("making a token: %w", err)
	}
	b64 := base64.RawURLEncoding
	token := b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + b64.EncodeToString(body) + "."
	return oauth.Auth{Token: token, Extensions: extensions}, nil
}

// claim takes one of the options that name a claim or an extension; others are left alone, as Kafka does.
func claim(claims map[string]any, extensions map[string]string, key, value string) error {
	if name, ok := strings.CutPrefix(key, "unsecuredLoginExtension_"); ok {
		extensions[name] = value
	}
	if name, ok := strings.CutPrefix(key, "unsecuredLoginStringClaim_"); ok {
		claims[name] = value
	}
	if name, ok := strings.CutPrefix(key, "unsecuredLoginNumberClaim_"); ok {
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("reading the login module: %s is not a number", key)
		}
		claims[name] = f
	}
	if name, ok := strings.CutPrefix(key, "unsecuredLoginListClaim_"); ok && value != "" {
		// the first character separates: ",a,b" is a and b
		claims[name] = slices.DeleteFunc(strings.Split(value[1:], value[:1]), func(s string) bool { return s == "" })
	}
	return nil
}

// tokens fetches a token for client credentials and keeps it for a part of its life.
type tokens struct {
	url    string
	id     string
	secret string
	scope  string
	window float64
	client http.Client

	mu    sync.Mutex // held while one is fetched, so that many connections fetch one
	token string
	until time.Time
}

func (l *login) tokens(m *module) (*tokens, error) {
	pick := func(own, option string) string {
		if own != "" {
			return own
		}
		return m.option(option)
	}
	t := &tokens{url: l.endpoint, window: l.window,
		id: pick(l.clientID, "clientId"), secret: pick(l.clientSecret, "clientSecret"), scope: pick(l.scope, "scope")}
	if u, err := url.Parse(t.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("sasl.oauthbearer.token.endpoint.url is not an address such as https://host/token, nor file:/path")
	}
	if t.id == "" || t.secret == "" {
		return nil, errors.New("the login module has no clientId and clientSecret for the token endpoint")
	}
	if l.encode {
		t.id, t.secret = url.QueryEscape(t.id), url.QueryEscape(t.secret)
	}
	// The endpoint has stores of its own, among the login module's options.
	s := security{protocol: "SSL", keyPassword: m.option("ssl.key.password")}
	secure, err := s.channel(&stores{
		keystore: m.option("ssl.keystore.location"), keystorePassword: m.option("ssl.keystore.password"),
		truststore: m.option("ssl.truststore.location"), truststorePassword: m.option("ssl.truststore.password"),
	})
	if err != nil {
		return nil, err
	}
	plain := dialer{timeout: cmp.Or(l.connect, l.read)}
	encrypted := plain
	encrypted.tls = secure
	t.client = http.Client{
		Timeout:   l.read,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DialContext: plain.dial, DialTLSContext: encrypted.dial},
	}
	return t, nil
}

// get returns a token that is good for a while.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && time.Now().Before(t.until) {
		return t.token, nil
	}
	token, life, err := t.fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("fetching a token from %s: %w", t.url, err)
	}
	t.token, t.until = token, time.Now().Add(time.Duration(float64(life)*t.window))
	return token, nil
}

func (t *tokens) fetch(ctx context.Context) (token string, life time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.scope != "" {
		form.Set("scope", t.scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(t.id, t.secret)
	resp, err := t.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", 0, err
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
		Error       string  `json:"error"`
		Description string  `json:"error_description"`
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", 0, fmt.Errorf("the answer is %s %s", resp.Status, strings.TrimSpace(answer.Error+" "+answer.Description))
	case err != nil:
		return "", 0, fmt.Errorf("reading the answer: %w", err)
	case answer.AccessToken == "":
		return "", 0, errors.New("the answer has no access_token")
	}
	return answer.AccessToken, time.Duration(answer.ExpiresIn * float64(time.Second)), nil
}
