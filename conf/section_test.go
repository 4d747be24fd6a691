package conf

import "testing"

func TestAFreshSectionHasNothingClaimed(t *testing.T) {
	s := NewSection("a1", "sinks", "k1", "a1.sinks.k1.", Pos{"f", 1}, Values{{Key: "type", Text: "null"}, {Key: "x.y", Text: "1"}})
	s.empty = Values{{Key: "z"}}
	s.Get("type")
	s.Sub("x.", "x")
	f := s.Fresh()
	if n := len(f.Unclaimed()); n != 2 {
		t.Errorf("%d values unclaimed, want 2", n)
	}
	if n := len(s.Unclaimed()); n != 0 {
		t.Errorf("%d values of the first unclaimed, want 0", n)
	}
	if f.Path("") != "a1.sinks.k1" || len(f.empty) != 1 {
		t.Errorf("the copy is not whole: %+v", f)
	}
}
