package jsonpath

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	const text = ` {"a": {"b c": [1, "two", {"x\u0041": "\u00e9\n"}], "n": null, "t": true}, "time":"2024-01-02", "deep": [[[{"}": "]"}], -1.5e3]], "time": 7, "": "empty"}`
	for path, want := range map[string]string{
		"time": "2024-01-02", "$.time": "2024-01-02", "$['time']": "2024-01-02",
		"a['b c'][0]": "1", `$.a["b c"][1]`: "two", "a['b c'][2].xA": "é\n", "$.a.t": "true",
		"deep[0][1]": "-1.5e3", "deep[0][0][0]['}']": "]", "a['b c'][2]": `{"x\u0041": "\u00e9\n"}`, "['']": "empty",
	} {
		p, err := Parse(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := p.Find([]byte(text)); err != nil || string(got) != want {
			t.Errorf("%s is %q instead of %q; %v", path, got, want, err)
		}
	}
	for _, path := range []string{"b", "a.n", "a.n.x", "time.x", "time[0]", "a['b c'][3]", "a['b c'].x", "a.t[0]"} {
		p, err := Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Find([]byte(text)); !errors.Is(err, ErrMissing) {
			t.Errorf("%s is %q; %v", path, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                         "the JSON text ends too early",
		"x y":                      "there is no such value",
		`{"a":`:                    "the JSON text ends too early",
		`{"a" 1}`:                  "the JSON text is wrong at byte 5",
		`{"b":1 "a":2}`:            "the JSON text is wrong at byte 7",
		`{"a":}`:                   "the JSON text is wrong at byte 5",
		`{"a":"x`:                  "the JSON text ends too early",
		`{"a":"\`:                  "the JSON text ends too early",
		`{a:1}`:                    "the JSON text is wrong at byte 1",
		`{"a":"\q"}`:               "reading a JSON string",
		strings.Repeat("[", 1<<16): "the JSON text ends too early",
	} {
		p, err := Parse("a")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Find([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %q; %v", text, got, err)
		}
	}
	for path, want := range map[string]string{
		"": "a key is missing", "a..b": "a key is missing", "$a": "a dot is missing", "a[x]": "takes the number of a place",
		"a[-1]": "takes the number", "a['b": "'] is missing", "a[0]b": "a dot is missing", ".": "a key is missing",
	} {
		if _, err := Parse(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// What is found in a text that is JSON is what package json finds.
func FuzzFind(f *testing.F) {
	f.Add("a.b[1]", []byte(`{"a":{"b":[1,"x\u00e9"]}}`))
	f.Add("a", []byte(`{"a":[{},[]],"b":"}"}`))
	f.Fuzz(func(t *testing.T, path string, text []byte) {
		p, err := Parse(path)
		if err != nil {
			return
		}
		got, err := p.Find(text)
		var want any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if !json.Valid(text) || decoder.Decode(&want) != nil || bytes.Count(text, []byte(`":`)) > 1 {
			return // of a key that comes twice the other one counts there
		}
		for _, s := range p.steps {
			switch x := want.(type) {
			case map[string]any:
				if want = x[s.Key]; s.Place >= 0 {
					want = nil
				}
			case []any:
				want = nil
				if s.Place >= 0 && s.Place < len(x) {
					want = x[s.Place]
				}
			default:
				want = nil
			}
		}
		switch x := want.(type) {
		case nil:
			if err == nil {
				t.Errorf("%q in %s is %q", path, text, got)
			}
		case string:
			if err != nil || !bytes.Equal(bytes.ToValidUTF8(got, []byte("\ufffd")), []byte(x)) && json.Valid(text) && !strings.Contains(x, "\ufffd") {
				t.Errorf("%q in %s is %q instead of %q; %v", path, text, got, x, err)
			}
		case json.Number:
			if err != nil || string(got) != x.String() {
				t.Errorf("%q in %s is %q instead of %s; %v", path, text, got, x, err)
			}
		}
	})
}
