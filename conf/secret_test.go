package conf

import "testing"

func TestSecretText(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                     false,
		"http://h:80/a?b=c&day=%Y-%m-%d":       false,
		"h1:9092,h2:9092":                      false,
		"hdfs://nn:8020/flume/%{host}":         false,
		"http://h/a?monkey=1&design=2&keyword": false,
		"http://h/about@home":                  false,
		"http://h/?mail=a@b":                   false,
		"http://user:pw@h/a":                   true,
		"https://TOKEN@h/a":                    true,
		"https://h?x=1&u=http://a:b@c":         true,
		"http://ok/a http://a:b@h/":            true,
		"https://h/a?sig=abc":                  true,
		"https://h/a?sv=1&se=2&sig=a%2Bb":      true,
		"https://h/a?X-Amz-Signature=abc":      true,
		"https://h/a?X-Goog-Credential=abc":    true,
		"https://h/a?token=abc":                true,
		"https://h/a?access_token=abc#x":       true,
		"https://h/a?key=abc":                  true,
		"https://h/a?api-key=abc":              true,
		"https://h/hook?code=abc":              true,
		"curl --token abc":                     true,
		"x password=\"y\"":                     true,
	} {
		if got := secretText(text); got != want {
			t.Errorf("%q holds a secret: %v", text, got)
		}
	}
}
