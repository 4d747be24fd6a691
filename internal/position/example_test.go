package position_test

import (
	"fmt"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/position"
)

// How a sink writes a batch once: what is done is read when it opens, and grows in the transaction that writes the rows.
func ExampleCut() {
	done := position.NewSet(1 << 20)
	if err := done.UnmarshalText([]byte("kfk/orders/0:0-40,42")); err != nil {
		fmt.Println(err)
		return
	}
	batch := flume.Batch{event("a", "kfk/orders/0/41"), event("b", "kfk/orders/0/42"), event("c", "kfk/orders/0/43"), event("c", "kfk/orders/0/43")}

	events, places := position.Cut(batch)
	now := position.NewSet(0) // what this batch does
	for i := range events {
		if p := places[i]; p.Known {
			if done.Seen(p.Position) || now.Seen(p.Position) {
				continue
			}
			now.Add(p.Position)
		}
		fmt.Printf("INSERT %s %v\n", events[i].Body, events[i].Headers)
	}
	for _, p := range now.Partitions() {
		fmt.Println("INSERT", p, now.Ranges(p))
	}
	fmt.Println("COMMIT") // where it fails now is forgotten

	done.Merge(now)
	text, _ := done.MarshalText()
	fmt.Println(string(text))
	// Output:
	// INSERT a []
	// INSERT c []
	// INSERT kfk/orders/0 41,43
	// COMMIT
	// kfk/orders/0:0-43
}

func event(body, place string) flume.Event {
	return flume.Event{Headers: flume.Headers{{Key: flume.PositionHeader, Value: place}}, Body: []byte(body)}
}
