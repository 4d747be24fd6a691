package json

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	for _, settings := range [][]string{
		{"header.a = $.a", "invalid = pass"},
		{"drop = a b[0]", "rename.x = $.y", "time.jsonPath = ts", "time.fallback = reject"},
	} {
		flumetest.Interceptor(t, func(t testing.TB) flume.Interceptor { return flumetest.Open(t, Kind, settings...) })
	}
}

// show is a body with its headers.
func show(e *flume.Event) string {
	out := string(e.Body)
	h := slices.Clone(e.Headers)
	slices.SortFunc(h, func(a, b flume.Header) int { return strings.Compare(a.Key, b.Key) })
	for _, x := range h {
		out += " " + x.Key + "=" + x.Value
	}
	return out
}

func TestIntercept(t *testing.T) {
	const text = `{"user": {"id": 7, "name": "a\u00e9\n"}, "items": [1, {"k v": true}, null], "n": null, "ts": "2024-03-31T01:30:00Z", "p": "secret"}`
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		for _, x := range []struct{ settings, body, want string }{
			// Lifting.
			{"header.id = $.user.id; header.name = user['name']", text, text + " id=7 name=aé\n"},
			{"header.a = items[0]; header.b = items[1]['k v']; header.c = items[2]; header.d = n; header.e = user.none; header.f = items[9]", text, text + " a=1 b=true"},
			{"header.all = $.user; header.list = items", `{"user":{ "a" : 1.50 },"items":[ ]}`, `{"user":{ "a" : 1.50 },"items":[ ]} all={ "a" : 1.50 } list=[ ]`},
			{"header.x = $; header.y = $", ` "t" `, ` "t"  x=t y=t`},
			{"header.x = $.a", "\ufeff{\"a\":1}", "\ufeff{\"a\":1} x=1"},
			{"header.x = a; header.y = b.c", `{"a":1,"a":2,"b":{"d":1},"b":{"c":1}}`, `{"a":1,"a":2,"b":{"d":1},"b":{"c":1}} x=1`},
			{"header.x = a", `{"\u0061":1}`, `{"\u0061":1} x=1`},
			{"header.x = a", `[1]`, `[1]`},
			{"header.old = a", `{"a":1}`, `{"a":1} old=1`},
			{"header.a.b = a", `{"a":1}`, `{"a":1} a.b=1`},
			// Dropping.
			{"drop = a", `{"a":1}`, `{}`},
			{"drop = a", `{ "a" : 1 , "b" : 2 }`, `{ "b" : 2 }`},
			{"drop = b", `{ "a" : 1 , "b" : 2 }`, `{ "a" : 1  }`},
			{"drop = a b", `{"a":1,"b":2}`, `{}`},
			{"drop = a c", `{"a":1,"b":2,"c":3}`, `{"b":2}`},
			{"drop = b c", `{"a":1,"b":2,"c":3,"d":4}`, `{"a":1,"d":4}`},
			{"drop = a b d", `{"a":1,"b":2,"c":3,"d":4}`, `{"c":3}`},
			{"drop = a", `{"a":1,"b":2,"a":{"a":3},"c":{"a":4}}`, `{"b":2,"c":{"a":4}}`},
			{"drop = a.b ['x y'] $.l[0] l[2]", `{"a":{"b":1,"c":2},"x y":3,"l":[1,2,3,4]}`, `{"a":{"c":2},"l":[2,4]}`},
			{"drop = a a.b", `{"a":{"b":1,"c":2},"d":3}`, `{"d":3}`},
			{"drop = none none.x l[7]", `{"a":1,"l":[]}`, `{"a":1,"l":[]}`},
			{"drop = a; header.x = a.b", `{"a":{"b":"up"}}`, `{} x=up`},
			// Renaming.
			{"rename.user_id = $.userId", `{"userId": 1}`, `{"user_id": 1}`},
			{"rename.b = a; rename.a = b", `{"a":1,"b":2}`, `{"b":1,"a":2}`},
			{"rename.é\" = a; drop = b", `{"b":0,"a":1}`, `{"é\"":1}`},
			{"rename.b = a; drop = b", `{"a":1,"b":2}`, `{"b":1}`},
			{"rename.b = a; rename.d = a.c; drop = a.x", `{"a":{"c":1,"x":2}}`, `{"b":{"d":1}}`},
			{"rename.b = a[1].x", `{"a":[{"x":1},{"x":2}]}`, `{"a":[{"x":1},{"b":2}]}`},
			{"rename.<b> = a; header.h = a", `{"a":1}`, `{"<b>":1} h=1`},
			// Times.
			{"time.jsonPath = ts", text, text + " timestamp=1711848600000"},
			{"time.jsonPath = ts; time.headerName = at; time.format = seconds", `{"ts":1711848600}`, `{"ts":1711848600} at=1711848600000`},
			{"time.jsonPath = ts; time.pattern = dd.MM.yyyy HH:mm; time.timezone = Asia/Tokyo", `{"ts":"31.03.2024 10:30"}`, `{"ts":"31.03.2024 10:30"} timestamp=1711848600000`},
			{"time.jsonPath = ts", `{"ts":"soon"}`, `{"ts":"soon"} timestamp=946684800000`},
			{"time.jsonPath = ts; time.fallback = none", `{}`, `{}`},
			// No JSON.
			{"header.a = a; invalid = pass", `{"a":1`, `{"a":1`},
			{"drop = a; invalid = pass; maxBytes = 8", `{"a":100}`, `{"a":100}`},
			{"drop = a; maxBytes = 9", `{"a":100}`, `{}`},
			{"header.a = a", strings.Repeat(`{"x":`, 999) + "[]" + strings.Repeat("}", 999), strings.Repeat(`{"x":`, 999) + "[]" + strings.Repeat("}", 999)},
		} {
			for _, preserve := range []bool{false, true} {
				i := flumetest.Open(t, Kind, append(strings.Split(x.settings, "; "), fmt.Sprint("preserveExisting = ", preserve))...)
				b := flume.Batch{{Body: []byte(x.body)}, {Body: []byte(x.body), Headers: flume.Headers{{Key: "timestamp", Value: "1"}, {Key: "x", Value: "mine"}}}}
				out, rejected, err := i.Intercept(t.Context(), b)
				if err != nil || len(rejected) > 0 || len(out) != 2 {
					t.Fatal(x.settings, out, rejected, err)
				}
				if got := show(&out[0]); got != x.want {
					t.Errorf("%s: %s becomes %q instead of %q", x.settings, x.body, got, x.want)
				}
				for _, h := range []string{"timestamp", "x"} {
					first, set := out[0].Headers.Get(h)
					want := map[string]string{"timestamp": "1", "x": "mine"}[h]
					if set && !preserve {
						want = first
					}
					if got, _ := out[1].Headers.Get(h); got != want {
						t.Errorf("%s, preserveExisting = %v: %s is %q instead of %q", x.settings, preserve, h, got, want)
					}
				}
				if string(b[0].Body) != string(out[0].Body) || cap(out[0].Body) != len(out[0].Body) && string(out[0].Body) != x.body {
					t.Errorf("%s: the body has room behind it", x.settings)
				}
			}
		}
	})
}

// What is rejected is as it came, and the rest goes on.
func TestReject(t *testing.T) {
	i := flumetest.Open(t, Kind, "header.id = id", "missing = reject", "drop = x", "rename.b = a", "time.jsonPath = ts", "time.fallback = reject", "maxBytes = 5000")
	const good = `{"id":1,"ts":1711848600,"x":1}`
	bodies := []string{good, "", "text", `{"id":1,"ts":1711848600} x`, `{"ts":1}`, `{"id":null,"ts":1711848600}`, `{"id":1}`, `{"id":1,"ts":"soon"}`,
		`{"id":1,"ts":1711848600,"a":1,"b":2}`, `{"id":1,"ts":1711848600,"b":2,"a":1}`, strings.Repeat("[", 2000), `{"x":1` + strings.Repeat(`,"x":1`, 700) + "}", "[" + strings.Repeat("1,", 3000) + "1]", good}
	var b flume.Batch
	for n, body := range bodies {
		b = append(b, flume.Event{Body: []byte(body), Headers: flume.Headers{{Key: "n", Value: fmt.Sprint(n)}}})
	}
	out, rejected, err := i.Intercept(t.Context(), b)
	if err != nil || len(out) != 2 || len(rejected) != len(bodies)-2 {
		t.Fatal(out, rejected, err)
	}
	for n, e := range out {
		if got, want := show(&e), fmt.Sprintf(`{"id":1,"ts":1711848600} id=1 n=%d timestamp=1711848600000`, n*13); got != want {
			t.Errorf("event %d is %s", n, got)
		}
	}
	for n, want := range []string{"ends too early", "a value should begin at byte 1", "nothing should follow at byte 26", `looking for the header "id" in the body: there is no such value`,
		`looking for the header "id"`, "looking for ts in the body: there is no such value", `reading the time "soon"`, `renaming a field of the body to "b": there is one`,
		`renaming a field of the body to "b"`, "more than 1000 brackets", `looking for the header "id"`, "it has 6003 bytes, maxBytes is 5000"} {
		r := rejected[n]
		if !strings.Contains(r.Err.Error(), want) || string(r.Event.Body) != bodies[n+1] || len(r.Event.Headers) != 1 {
			t.Errorf("%d: %v: %s", n+1, r.Err, show(&r.Event))
		}
	}
}

// A body may have many fields that go, in 16 MB, but not so many that they take more room than it.
func TestManyEdits(t *testing.T) {
	i := flumetest.Open(t, Kind, "drop = x")
	out, rejected, err := i.Intercept(t.Context(), flume.Batch{
		{Body: []byte(`{"y":1` + strings.Repeat(` ,"x":1`, mostEdits) + "}")}, {Body: []byte(`{"y":1` + strings.Repeat(` ,"x":1`, mostEdits+1) + "}")},
	})
	if err != nil || len(out) != 1 || len(rejected) != 1 || !json.Valid(out[0].Body) || bytes.Contains(out[0].Body, []byte("x")) || !strings.Contains(rejected[0].Err.Error(), "more than 65536 fields") {
		t.Errorf("%d pass, %d are rejected; %v", len(out), len(rejected), err)
	}
}

// With invalid = pass the log says once that bodies are no JSON, and a counter how many.
func TestPassedIsCounted(t *testing.T) {
	env := flumetest.NewEnv()
	i := flumetest.OpenIn(t, env, Kind, "drop = a", "invalid = pass")
	for range 50 {
		if _, _, err := i.Intercept(t.Context(), flume.Batch{{Body: []byte("x")}, {Body: []byte("{}")}, {Body: []byte("}")}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(env.Logged(), "level=WARN"); n != 1 || env.Count("EventNotJsonCount") != 100 {
		t.Errorf("%d warnings, %d counted: %s", n, env.Count("EventNotJsonCount"), env.Logged())
	}
}

func TestProblems(t *testing.T) {
	var many []string
	for n := range 65 {
		many = append(many, fmt.Sprintf("f%d", n))
	}
	for _, x := range []struct{ settings, want string }{
		{"invalid = pass", "has nothing to do"},
		{"header.a = a..b", `header.a: the path "a..b": a key is missing`},
		{"header.sluice.position = a", "header.sluice.position: is a header of Sluice's own"},
		{"drop = $", `drop: the path "$": the whole body cannot be dropped`},
		{"rename.a = $", `rename.a: the path "$": it leads to no field of an object`},
		{"rename.a = b[0]", `rename.a: the path "b[0]": it leads to no field`},
		{"rename.a = b; drop = b", `rename.a: the path "b": the field is dropped`},
		{"rename.a = b; rename.c = b", `rename.c: the path "b": the field is renamed already`},
		{"drop = " + strings.Join(many, " "), "more than 64 paths part in one place"},
		{"time.jsonPath = a; time.timezone = Mars/Base", `time.timezone: "Mars/Base" is no time zone`},
		{"time.jsonPath = a; time.pattern = yyyy-QQ", `time.pattern: the date pattern "yyyy-QQ": QQ is not known`},
		{"drop = a; maxBytes = 0", "maxBytes: "},
		{"drop = a; missing = guess", `missing: "guess" is not one of none, reject`},
	} {
		problems := flumetest.Problems(t, Kind, nil, strings.Split(x.settings, "; ")...)
		if !problems.Fatal() || !strings.Contains(problems.String(), x.want) {
			t.Errorf("%s: %v", x.settings, problems)
		}
	}
	problems := flumetest.Problems(t, Kind, nil, "rename.a = b", "rename.c = x.b", "rename.d = x['y z']", "drop = ['a b'] x['c  d']", "time.format = clf", "time.pattern = yyyy", "time.jsonPath = t")
	if problems.Fatal() || len(problems) != 1 || problems[0].Severity != conf.Warning || !strings.Contains(problems.String(), "time.format: has no effect") {
		t.Error(problems)
	}
}

func TestTrace(t *testing.T) {
	in := flume.Known{"timestamp": "1", "topic": "t", "a": "x"}
	for setting, want := range map[string]flume.Known{
		"preserveExisting = false": {"topic": "t"}, "preserveExisting = true": in, "time.jsonPath = b": {"topic": "t"}, "time.fallback = none": {"topic": "t"},
	} {
		plan, problems := Kind.Bind(flumetest.Section(t, "header.a = a", "time.jsonPath = t", setting))
		if problems.Fatal() {
			t.Fatal(problems)
		}
		if got := plan.Settings.(flume.Tracer).Trace(in); !maps.Equal(got, want) {
			t.Errorf("%s makes %v of %v", setting, got, in)
		}
		if got := len(plan.Settings.(flume.Unsteady).Unsteady()); (got == 1) != (setting != "preserveExisting = true" && setting != "time.fallback = none") {
			t.Errorf("%s: %d headers are not steady", setting, got)
		}
	}
}

func TestAllocations(t *testing.T) {
	const text = `{"user":{"id":7,"name":"someone"},"items":[1,{"k":true},null],"ts":"2024-03-31T01:30:00Z","password":"secret","pad":"..............................................."}`
	i := flumetest.Open(t, Kind, "header.id = user.id", "header.name = user.name", "time.jsonPath = ts", "drop = password", "rename.list = items")
	b := make(flume.Batch, 100)
	if got := testing.AllocsPerRun(100, func() {
		for n := range b {
			b[n] = flume.Event{Body: []byte(text)[:len(text):len(text)]}
		}
		if _, _, err := i.Intercept(t.Context(), b); err != nil {
			t.Error(err)
		}
	}); got > 100+60 { // those of the bodies, and what grows
		t.Errorf("%v allocations for a batch of 100", got)
	}
}

// What the scanner takes for JSON is what package json takes for it, and what it leaves of it is what is left when the
// fields are deleted from a map.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[1,2,{"a":null}],"c":"x\u00e9"}`, `{"a":{"b":1,"c":2}}`, ` [1,-0.5e+3,true]`, `{"b":{"a":1}}`, `"\ud800"`, `{"c":1,"d":2}`, `{"\u0061":1}`, "[", "1.", "-", "01", "\"\x01\""} {
		f.Add([]byte(s))
	}
	i := flumetest.Open(f, Kind, "header.h = a.b", "header.g = b[0]", "drop = a b[1] d.c", "rename.z = c", "rename.y = b[2].a", "missing = none")
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("\ufeff")) {
			return
		}
		out, rejected, err := i.Intercept(t.Context(), flume.Batch{{Body: bytes.Clone(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if len(rejected) > 0 {
			why := rejected[0].Err.Error()
			if json.Valid(text) && !strings.Contains(why, "brackets") && !strings.Contains(why, "renaming") {
				t.Fatalf("%q: %s", text, why)
			}
			return
		}
		if !json.Valid(text) || !json.Valid(out[0].Body) {
			t.Fatalf("%q is taken for JSON, and becomes %q", text, out[0].Body)
		}
		want, twice := decode(t, text)
		if twice {
			return
		}
		got, _ := decode(t, out[0].Body)
		if top, ok := want.(map[string]any); ok {
			delete(top, "a")
			if list, ok := top["b"].([]any); ok {
				if len(list) > 2 {
					move(list[2], "a", "y")
				}
				if len(list) > 1 {
					top["b"] = slices.Delete(list, 1, 2)
				}
			}
			if d, ok := top["d"].(map[string]any); ok {
				delete(d, "c")
			}
			move(want, "c", "z")
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q becomes %q", text, out[0].Body)
		}
	})
}

func move(in any, from, to string) {
	if m, ok := in.(map[string]any); ok {
		if v, ok := m[from]; ok {
			delete(m, from)
			m[to] = v
		}
	}
}

// decode also says whether a key comes twice somewhere.
func decode(t *testing.T, text []byte) (any, bool) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return out, bytes.Count(again, []byte(`":`)) < bytes.Count(text, []byte(`":`)) || bytes.Contains(text, []byte(`" `)) || bytes.Contains(text, []byte("\"\n")) ||
		bytes.Contains(text, []byte("\"\t")) || bytes.Contains(text, []byte("\"\r"))
}

func BenchmarkIntercept(b *testing.B) {
	const text = `{"user":{"id":7,"name":"someone"},"items":[1,{"k":true},null],"ts":"2024-03-31T01:30:00Z","password":"secret","pad":"..............................................."}`
	i := flumetest.Open(b, Kind, "header.id = user.id", "header.name = user.name", "time.jsonPath = ts", "drop = password", "rename.list = items")
	batch := make(flume.Batch, 100)
	b.ReportAllocs()
	for b.Loop() {
		for n := range batch {
			batch[n] = flume.Event{Body: []byte(text)}
		}
		if _, _, err := i.Intercept(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}
