package supervise

import (
	"testing"
	"testing/synctest"
)

func TestTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var term Term
		over := false
		ctx, leave, ok := term.Begin(t.Context())
		if !ok {
			t.Fatal("a term that has not ended cannot begin")
		}
		go func() {
			<-ctx.Done()
			over = true
			leave()
		}()
		synctest.Wait()
		if over {
			t.Error("it ended by itself")
		}
		if !term.End() || !over {
			t.Error("End did not end it, or did not wait")
		}
		if term.End() {
			t.Error("End is first twice")
		}
		if _, _, ok := term.Begin(t.Context()); ok {
			t.Error("it begins after its end")
		}
	})
}
