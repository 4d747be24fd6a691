package wal

import (
	"errors"
	"strings"
	"testing"
)

// otherKeys has the right aliases and the wrong keys.
type otherKeys struct{}

func (otherKeys) Key(alias string) ([]byte, error) {
	return []byte(strings.Repeat("not "+alias, 16)[:16]), nil
}

// noKeys has none.
type noKeys struct{}

func (noKeys) Key(string) ([]byte, error) { return nil, errors.New("there is no such key") }

// A log that cannot be read for want of the right key, or of the meta that names it, is refused and left as it is: it
// must not look like one whose last write was cut off.
func TestWrongKeys(t *testing.T) {
	encrypted := smallOptions()
	encrypted.Keys, encrypted.ActiveKey = fixedKeys{}, "k"
	for _, checkpoint := range []bool{true, false} {
		for _, c := range []struct {
			name string
			keys Keys
			meta bool
			want string
		}{
			{"another key", otherKeys{}, true, `"k"`},
			{"no such key", noKeys{}, true, `"k"`},
			{"no keys", nil, true, `"k"`},
			{"no meta", fixedKeys{}, false, "meta"},
		} {
			made, _ := puts(t, encrypted, []string{"a", "b"}, []string{"c"})
			if !checkpoint {
				wipe(t, made, "/c")
			}
			m := made.Clone()
			if !c.meta {
				if err := m.Remove("/d/log-1.meta"); err != nil {
					t.Fatal(err)
				}
			}
			was := peek(t, m, "/d/log-1", 0, 300)
			o := smallOptions()
			o.Keys = c.keys
			_, rec, err := Open(m, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "log-1") {
				t.Errorf("%s, checkpoint %v: %+v, %v", c.name, checkpoint, rec, err)
			}
			if now := peek(t, m, "/d/log-1", 0, 300); string(now) != string(was) {
				t.Errorf("%s, checkpoint %v: the data file was changed", c.name, checkpoint)
			}
		}
	}
	// A first record that is damaged is no such case.
	m, _ := puts(t, encrypted, []string{"a", "b"}, []string{"c"})
	poke(t, m, "/d/log-1", framing, 0x12, 0x34, 0x56)
	l, rec, err := Open(m, encrypted)
	if err != nil || len(rec.Damaged) != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	if got := bodies(t, l); got != "b c" {
		t.Errorf("%q", got)
	}
}
