package oracle

import (
	"errors"
	"fmt"
	"strings"
)

// A Report is the state of a ledger, judged.
type Report struct {
	Acked      int // at the input
	Distinct   int // different events at the output
	Missing    int
	Duplicates int
	Disordered int
	Foreign    int
	Damaged    int
	Headers    int // events with wrong headers
	Keys       int // events with another key than their lane's
	Lanes      []Lane
	Faults     []Fault
	Samples    []string // the first few findings, in words
}

// A Lane is what became of one source partition.
type Lane struct {
	Acked, Distinct, Missing, Duplicates, Disordered int
	Ranges                                           []Range
}

// A Range is a run of missing events: nothing that was acknowledged between First and Last came out.
type Range struct {
	First, Last int
	Events      int // acknowledged ones
	Fault       int // index into Report.Faults of the mark that it follows, -1 if it follows none
}

// A Fault is one mark and what was lost at it.
type Fault struct {
	Name    string
	Missing int // in all lanes
	Ranges  int // the most that any one lane has
}

// Rules say what a report may show. The zero value is: nothing lost, nothing doubled; order is not looked at.
type Rules struct {
	Duplicates   int  // at most so many per lane; AnyDuplicates: as many as there are
	Order        bool // events of a lane come in order
	LossPerFault int  // at most so many events are missing per mark, one range for each lane and mark; 0: none at all
	AnyKey       bool // do not look at keys
	AnyForeign   bool // the output may hold what is not of this run
}

// AnyDuplicates lets a run have duplicates.
const AnyDuplicates = -1

// Report judges what is known by now.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.pending
	l.pending = nil
	for _, u := range waiting {
		l.check(u) // what is still not acknowledged waits on
	}
	r := Report{Foreign: l.foreign, Damaged: l.damaged, Headers: l.headers, Samples: l.samples}
	for _, m := range l.marks {
		r.Faults = append(r.Faults, Fault{Name: m.name})
	}
	for i := range l.lanes {
		in := &l.lanes[i]
		out := Lane{
			Acked: in.acked.n, Distinct: in.distinct, Duplicates: in.duplicates, Disordered: in.disordered,
			Ranges: in.ranges(),
		}
		perFault := make([]int, len(l.marks))
		for j := range out.Ranges {
			at := &out.Ranges[j]
			at.Fault = -1
			for k, m := range l.marks {
				if m.last[i] < at.First {
					at.Fault = k
				}
			}
			if at.Fault >= 0 {
				perFault[at.Fault]++
				r.Faults[at.Fault].Missing += at.Events
			}
			out.Missing += at.Events
		}
		for k, n := range perFault {
			r.Faults[k].Ranges = max(r.Faults[k].Ranges, n)
		}
		r.Acked += out.Acked
		r.Distinct += out.Distinct
		r.Missing += out.Missing
		r.Duplicates += out.Duplicates
		r.Disordered += out.Disordered
		r.Keys += in.keyless
		r.Lanes = append(r.Lanes, out)
	}
	return r
}

// ranges finds the runs of missing events. A number that was never acknowledged neither begins, ends nor breaks one.
func (in *lane) ranges() []Range {
	var all []Range
	open := false
	for n := range len(in.acked.words) * 64 {
		switch {
		case in.seen.has(n):
			open = false
		case in.acked.has(n) && open:
			all[len(all)-1].Last = n
			all[len(all)-1].Events++
		case in.acked.has(n):
			all = append(all, Range{First: n, Last: n, Events: 1})
			open = true
		}
	}
	return all
}

// Check returns every rule that the report breaks.
func (r Report) Check(rules Rules) error {
	var broken []error
	breaks := func(format string, args ...any) { broken = append(broken, fmt.Errorf(format, args...)) }
	if r.Acked == 0 {
		breaks("nothing was acknowledged at the input")
	}
	if r.Foreign > 0 && !rules.AnyForeign {
		breaks("%d foreign records in the output", r.Foreign)
	}
	if r.Damaged > 0 {
		breaks("%d damaged bodies", r.Damaged)
	}
	if r.Headers > 0 {
		breaks("%d events with wrong headers", r.Headers)
	}
	if r.Keys > 0 && !rules.AnyKey {
		breaks("%d events with a wrong key", r.Keys)
	}
	if rules.Order && r.Disordered > 0 {
		breaks("%d events out of order", r.Disordered)
	}
	if rules.LossPerFault == 0 && r.Missing > 0 {
		breaks("%d events missing", r.Missing)
	}
	for i, lane := range r.Lanes {
		if rules.Duplicates != AnyDuplicates && lane.Duplicates > rules.Duplicates {
			breaks("lane %d: %d duplicates, %d are allowed", i, lane.Duplicates, rules.Duplicates)
		}
		if rules.LossPerFault == 0 {
			continue
		}
		for _, at := range lane.Ranges {
			if at.Fault < 0 {
				breaks("lane %d: %s missing without a fault", i, at)
			}
		}
	}
	if rules.LossPerFault > 0 {
		for _, f := range r.Faults {
			if f.Missing > rules.LossPerFault {
				breaks("%s: %d events missing, %d are allowed", f.Name, f.Missing, rules.LossPerFault)
			}
			if f.Ranges > 1 {
				breaks("%s: a lane misses %d separate ranges", f.Name, f.Ranges)
			}
		}
	}
	return errors.Join(broken...)
}

func (a Range) String() string {
	if a.First == a.Last {
		return fmt.Sprintf("%d", a.First)
	}
	return fmt.Sprintf("%d to %d (%d events)", a.First, a.Last, a.Events)
}

// String is the report in a few lines: the sum, each lane or fault that lost or doubled something, the first findings.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "acknowledged %d, came out %d, missing %d, duplicates %d, out of order %d",
		r.Acked, r.Distinct, r.Missing, r.Duplicates, r.Disordered)
	for _, more := range []struct {
		n    int
		what string
	}{{r.Damaged, "damaged"}, {r.Headers, "wrong headers"}, {r.Keys, "wrong keys"}, {r.Foreign, "foreign"}} {
		if more.n > 0 {
			fmt.Fprintf(&b, ", %s %d", more.what, more.n)
		}
	}
	b.WriteByte('\n')
	for i, lane := range r.Lanes {
		if lane.Missing+lane.Duplicates+lane.Disordered == 0 {
			continue
		}
		fmt.Fprintf(&b, "  lane %d: missing %d, duplicates %d, out of order %d", i, lane.Missing, lane.Duplicates, lane.Disordered)
		for j, at := range lane.Ranges {
			if j == 10 {
				fmt.Fprintf(&b, "; and %d more ranges", len(lane.Ranges)-j)
				break
			}
			fmt.Fprintf(&b, "; %s", at)
		}
		b.WriteByte('\n')
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "  %s: missing %d\n", f.Name, f.Missing)
	}
	for _, s := range r.Samples {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}
