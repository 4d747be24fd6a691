package wal

import "testing"

// A transaction of puts that was open at Flume's checkpoint, and whose commit behind it is damaged, is committed again.
func TestDamagedCommitOfFlight(t *testing.T) {
	for _, c := range goldenCases(t) {
		if c.Name != "inflight-puts-committed-after-checkpoint" {
			continue
		}
		m := unpack(t, c.Name)
		o := c.options(t, m)
		const name = "/data/log-1"
		e, err := m.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		d := &dataFile{size: e.Size, version: formatVersion}
		var commits []record
		for s := d.scanner(f, 0); ; {
			r, err := s.next()
			if err != nil {
				break
			}
			if r.kind == kindCommit && r.of == kindPut {
				commits = append(commits, r)
			}
		}
		for _, r := range commits {
			k := m.Clone()
			poke(t, k, name, r.at+framing+1+headerSize+2, 0x58) // in the body: its kind and transaction can be read
			for range 2 {
				l, rec, err := Open(k, o)
				if err != nil {
					t.Fatal(err)
				}
				if l.Events() != c.Events {
					t.Errorf("commit at %d: %d events: %+v", r.at, l.Events(), rec)
				}
				if err := l.Close(false); err != nil {
					t.Fatal(err)
				}
				wipe(t, k, "/checkpoint")
			}
		}
	}
}
