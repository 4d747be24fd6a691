package flume

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func headers(pairs ...string) Headers {
	var h Headers
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, Header{pairs[i], pairs[i+1]})
	}
	return h
}

func TestHeaders(t *testing.T) {
	h := headers("a", "1", "b", "2")
	if v, ok := h.Get("b"); v != "2" || !ok {
		t.Errorf("b is %q, %v", v, ok)
	}
	if v, ok := h.Get("B"); v != "" || ok {
		t.Errorf("B is %q, %v", v, ok)
	}
	h.Set("a", "3")
	h.Set("", "")
	if v, ok := h.Get(""); v != "" || !ok {
		t.Errorf("a header with an empty name is %q, %v", v, ok)
	}
	h.Delete("b")
	h.Delete("c")
	if want := headers("a", "3", "", ""); !slices.Equal(h, want) {
		t.Errorf("%v instead of %v", h, want)
	}
	var none Headers
	none.Delete("x")
	none.Set("x", "y")
	if !slices.Equal(none, headers("x", "y")) {
		t.Error(none)
	}
}

// Headers are a map whose order is that of the first Set.
func TestHeadersModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var h Headers
		model := map[string]string{}
		r.Repeat(map[string]func(*rapid.T){
			"set": func(r *rapid.T) {
				k, v := rapid.StringN(0, 2, 2).Draw(r, "key"), rapid.String().Draw(r, "value")
				h.Set(k, v)
				model[k] = v
			},
			"delete": func(r *rapid.T) {
				k := rapid.StringN(0, 2, 2).Draw(r, "key")
				h.Delete(k)
				delete(model, k)
			},
			"": func(r *rapid.T) {
				got := map[string]string{}
				for _, x := range h {
					if _, twice := got[x.Key]; twice {
						r.Fatalf("%q stands twice", x.Key)
					}
					got[x.Key] = x.Value
				}
				if !maps.Equal(got, model) {
					r.Fatalf("%v instead of %v", got, model)
				}
			},
		})
	})
}

func TestUnique(t *testing.T) {
	many := func(n int) Headers {
		var h Headers
		for i := range n {
			h = append(h, Header{strconv.Itoa(i), "v"})
		}
		return h
	}
	for _, x := range []struct{ in, want Headers }{
		{nil, nil},
		{headers("a", "1"), headers("a", "1")},
		{headers("a", "1", "a", "2"), headers("a", "2")},
		{headers("a", "1", "b", "2", "a", "3", "c", "4", "a", "5"), headers("b", "2", "c", "4", "a", "5")},
		{many(32), many(32)},
		{many(33), many(33)},
		{append(many(100), many(50)...), append(many(100)[50:], many(50)...)},
	} {
		in := slices.Clone(x.in)
		got := in.Unique()
		if !slices.Equal(got, x.want) {
			t.Errorf("%v is left of %v", got, x.in)
		}
		if len(got) < len(x.in) && cap(got) != len(got) {
			t.Errorf("there is room for %d behind %d headers", cap(got), len(got))
		}
	}
}

func TestUniqueIsTheLast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		in := Headers(rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Header {
			return Header{strconv.Itoa(rapid.IntRange(0, 60).Draw(r, "key")), rapid.String().Draw(r, "value")}
		}), 0, 80).Draw(r, "headers"))
		var want Headers
		for i, x := range in {
			if !slices.ContainsFunc(in[i+1:], func(later Header) bool { return later.Key == x.Key }) {
				want = append(want, x)
			}
		}
		if got := slices.Clone(in).Unique(); !slices.Equal(got, want) {
			r.Fatalf("%v instead of %v", got, want)
		}
	})
}

func TestSize(t *testing.T) {
	b := Batch{{}, {Body: []byte("body")}, {Headers: headers("k", "value", "", "x"), Body: []byte("ą")}}
	for i, want := range []int{0, 4, 9} {
		if got := b[i].Size(); got != want {
			t.Errorf("event %d has %d bytes", i, got)
		}
	}
	if b.Size() != 13 {
		t.Errorf("the batch has %d bytes", b.Size())
	}
}

// cut makes a batch whose headers lie in one allocation, as a decoder does, with so many for each event.
func cut(counts ...int) Batch {
	all := make(Headers, 0, 100)
	b := make(Batch, len(counts))
	for i, n := range counts {
		from := len(all)
		for k := range n {
			all = append(all, Header{"k" + strconv.Itoa(k), fmt.Sprint(i)})
		}
		b[i].Headers = all[from:len(all):len(all)]
	}
	return b
}

func TestSetHeader(t *testing.T) {
	for _, x := range []struct {
		key  string
		keep bool
		want []string
	}{
		{"k1", false, []string{"k1=v", "k0=1 k1=v", "k0=2 k1=v", "k0=3 k1=v k2=3"}},
		{"k1", true, []string{"k1=v", "k0=1 k1=v", "k0=2 k1=2", "k0=3 k1=3 k2=3"}},
		{"new", false, []string{"new=v", "k0=1 new=v", "k0=2 k1=2 new=v", "k0=3 k1=3 k2=3 new=v"}},
	} {
		b := cut(0, 1, 2, 3)
		b.SetHeader(x.key, "v", x.keep)
		for i := range b {
			b[i].Headers = append(b[i].Headers, Header{"end", fmt.Sprint(i)})
		}
		for i, want := range x.want {
			var got string
			for _, h := range b[i].Headers {
				got += h.Key + "=" + h.Value + " "
			}
			if want += fmt.Sprintf(" end=%d ", i); got != want {
				t.Errorf("%s, keep %v: event %d has %s instead of %s", x.key, x.keep, i, got, want)
			}
		}
	}
}

func TestSetHeaderAllocations(t *testing.T) {
	b := cut(0, 1, 2, 3)
	var before Batch
	for _, x := range []struct {
		key  string
		want float64
	}{{"new", 1}, {"k0", 1}} {
		before = slices.Clone(b)
		got := testing.AllocsPerRun(100, func() {
			copy(b, before)
			b.SetHeader(x.key, "v", false)
		})
		if got != x.want {
			t.Errorf("setting %s costs %v allocations", x.key, got)
		}
	}
	b.SetHeader("k0", "v", false)
	if got := testing.AllocsPerRun(100, func() { b.SetHeader("k0", "w", false) }); got != 0 {
		t.Errorf("setting what is there costs %v allocations", got)
	}
}

func TestKeep(t *testing.T) {
	b := Batch{{Body: []byte("0")}, {Body: []byte("1")}, {Body: []byte("2")}, {Body: []byte("3")}}
	whole := b
	b = b.Keep(func(e *Event) bool { return e.Body[0]%2 == 1 })
	if len(b) != 2 || string(b[0].Body) != "1" || string(b[1].Body) != "3" {
		t.Error(b)
	}
	if whole[2].Body != nil || whole[3].Body != nil {
		t.Error("what was dropped is still held")
	}
	if b = b.Keep(func(*Event) bool { return false }); len(b) != 0 {
		t.Error(b)
	}
}

func TestClone(t *testing.T) {
	b := cut(0, 2, 1)
	b[1].Body = []byte("body")
	c := b.Clone()
	for i := range c {
		if !slices.Equal(c[i].Headers, b[i].Headers) {
			t.Errorf("event %d has %v instead of %v", i, c[i].Headers, b[i].Headers)
		}
		c[i].Headers.Set("k0", "changed")
		c[i].Headers.Set("new", fmt.Sprint(i))
	}
	if &c[1].Body[0] != &b[1].Body[0] {
		t.Error("the body was copied")
	}
	if v, _ := b[1].Headers.Get("k0"); v != "1" || len(b[0].Headers) != 0 {
		t.Error("changing the clone changes the batch")
	}
	if v, _ := c[1].Headers.Get("new"); v != "1" {
		t.Errorf("the headers of a clone have room in common: %v", c)
	}
	if got := testing.AllocsPerRun(100, func() { b.Clone() }); got > 2 {
		t.Errorf("a clone costs %v allocations", got)
	}
}

func TestRoutes(t *testing.T) {
	b := Batch{{Body: []byte("0")}, {Body: []byte("1")}, {Body: []byte("2")}, {Body: []byte("3")}}
	var r Routes
	r.Reset(2)
	r.Require(0, b...)
	if &r.Required(0)[0] != &b[0] {
		t.Error("the first run is copied")
	}
	r.Require(1, b[0:1]...)
	r.Require(1, b[2:4]...)
	r.Offer(1, b[1:2]...)
	if got := bodies(r.Required(1)) + "/" + bodies(r.Optional(1)) + "/" + bodies(r.Optional(0)); got != "023/1/" {
		t.Error(got)
	}
	if got := bodies(b); got != "0123" {
		t.Errorf("the batch has become %s", got)
	}
	r.Reset(3)
	for i := range 3 {
		if len(r.Required(i)) > 0 || len(r.Optional(i)) > 0 {
			t.Errorf("after Reset channel %d gets events", i)
		}
	}
}

func bodies(b Batch) (text string) {
	for i := range b {
		text += string(b[i].Body)
	}
	return text
}
