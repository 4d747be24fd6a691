package stamp

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-io/sluice/flume"
)

func batch() flume.Batch {
	all := make(flume.Headers, 0, 100)
	b := make(flume.Batch, 5)
	for i := range b {
		from := len(all)
		for n := range i {
			all = append(all, flume.Header{Key: fmt.Sprint("k", n), Value: "old"})
		}
		b[i].Headers = all[from:len(all):len(all)]
	}
	return b
}

func TestApply(t *testing.T) {
	b := batch()
	var p Pad
	p.Add(0, "k0", []byte("a"))
	p.Add(1, "k1", []byte("no"))
	p.Add(1, "k2", []byte("no"))
	p.Forget(1)
	p.Add(2, "k0", []byte("b"))
	p.Add(2, "k5", nil)
	p.Add(2, "k0", []byte("c"))
	p.Add(4, "k5", []byte("łódź"))
	p.Forget(3)
	p.Apply(b)
	want := []string{"[{k0 a}]", "[{k0 old}]", "[{k0 c} {k1 old} {k5 }]", "[{k0 old} {k1 old} {k2 old}]", "[{k0 old} {k1 old} {k2 old} {k3 old} {k5 łódź}]"}
	for i := range b {
		b[i].Headers = append(b[i].Headers, flume.Header{})
	}
	for i := range b {
		if got := fmt.Sprint(b[i].Headers[:len(b[i].Headers)-1]); got != want[i] {
			t.Errorf("event %d has %s instead of %s", i, got, want[i])
		}
	}
	p.Apply(b) // there is nothing in it
}

func TestAllocations(t *testing.T) {
	b := make(flume.Batch, 100)
	value := []byte("value")
	if got := testing.AllocsPerRun(100, func() {
		var p Pad
		for i := range b {
			b[i].Headers = nil
			p.Add(i, "a", value)
			p.Add(i, "b", value)
		}
		p.Apply(b)
	}); got > 24 {
		t.Errorf("%v allocations for a batch of 100", got)
	}
	if !slices.Equal(b[99].Headers, flume.Headers{{Key: "a", Value: "value"}, {Key: "b", Value: "value"}}) {
		t.Error(b[99].Headers)
	}
}
