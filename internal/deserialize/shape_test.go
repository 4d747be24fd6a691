package deserialize

import (
	"fmt"
	"strings"
	"testing"
)

// calls is how often skip is called at most for a value without arrays, maps and unions.
func (s *shape) calls(known map[*shape]float64) float64 {
	if n, ok := known[s]; ok {
		return n
	}
	n := 1.
	for _, p := range s.parts {
		n += p.calls(known)
	}
	known[s] = n
	return n
}

// A record whose parts take no bytes is gone over at once, whatever its schema makes of it.
func TestRecordsOfNothing(t *testing.T) {
	for _, leaf := range []string{`"null"`, `{"name":"F","type":"fixed","size":0}`} {
		schema := fmt.Sprintf(`{"name":"R0","type":"record","fields":[{"name":"a","type":%s}]}`, leaf)
		for i := range 40 {
			schema = fmt.Sprintf(`{"name":"R%d","type":"record","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i+1, schema, i)
		}
		nulls := strings.Repeat(`{"name":"n","type":"null"},`, 10000)
		schema = fmt.Sprintf(`{"name":"R","type":"record","fields":[{"name":"a","type":%s},%s{"name":"z","type":"int"}]}`, schema, nulls)
		s, err := shapeOf([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		if n := s.calls(map[*shape]float64{}); n > 10 {
			t.Fatalf("one record takes %.0f calls", n)
		}
		if n, err := s.skip([]byte{2, 4}, 0); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
}
