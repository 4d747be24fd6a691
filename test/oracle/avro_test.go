package oracle

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
)

// What a sender sends straight to a receiver is all there; what the receiver refuses is neither acknowledged nor sent
// again.
func TestSenderAndReceiver(t *testing.T) {
	load := Load{Run: "avro", Lanes: 2, Size: 50, Stamp: true, Headers: func(p Position) map[string]string {
		return map[string]string{"origin": "avro", "number": string(rune('0'+p.Lane)) + "/" + string(rune('0'+p.Number))}
	}}
	near, far := NewLedger(load), NewLedger(load)
	r, err := Receive("127.0.0.1:0", near)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var senders []*Sender
	for lane := range load.Lanes {
		s, err := NewSender(r.listener.Addr().String(), lane, near, far)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		senders = append(senders, s)
		if err := s.Send(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
	r.Admit(1)
	if err := senders[1].Send(t.Context(), 2); err != nil || !r.Full() {
		t.Errorf("a call that begins below the limit: %v", err)
	}
	var status *client.StatusError
	if err := senders[1].Send(t.Context(), 1); !errors.As(err, &status) {
		t.Errorf("beyond the limit: %v", err)
	}
	r.AdmitAll()
	if err := senders[1].Send(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if n, largest := r.Accepted(); n != 9 || largest != 3 {
		t.Errorf("%d events, %d in one call", n, largest)
	}
	report := r.Await(time.Second, time.Second)
	if err := report.Check(Rules{Order: true}); err != nil || report.Acked != 9 || senders[1].Sent() != 7 {
		t.Errorf("%v\n%s", err, report)
	}
	if report := far.Report(); report.Acked != 9 || report.Missing != 9 { // the books of another end
		t.Errorf("%s", report)
	}
}
