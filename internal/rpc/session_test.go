package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// plain is a protocol whose frames are a length and as many bytes; the answer is one byte.
type plain struct {
	do      func() // a call; nil: nothing
	head    [4]byte
	payload []byte
}

func (p *plain) Read(ctx context.Context, r *Reader) error {
	if err := r.Begin(p.head[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(p.head[:]))
	if n > 4<<20 {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	var err error
	p.payload, err = r.Body(ctx, nil, n, n)
	return err
}

func (p *plain) Answer(context.Context, *Loan) []byte {
	if p.do != nil {
		p.do()
	}
	return []byte{1}
}

// A server has clients at the other end of pipes.
type server struct {
	budget  *Budget
	buffers Buffers
	do      func()
}

// dial makes a connection; its error comes to served.
func (s *server) dial(t *testing.T, served chan<- error) net.Conn {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	session := &Session{Talk: &plain{do: s.do}, Budget: s.budget, Buffers: &s.buffers}
	go func() { served <- session.Serve(t.Context(), t.Context(), far) }()
	return near
}

// frame is one of so many bytes.
func frame(size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
}

// send makes a call on a connection of its own and says how long it took.
func (s *server) send(t *testing.T, size int) time.Duration {
	t.Helper()
	conn := s.dial(t, make(chan error, 1))
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Write(frame(size)); err != nil {
		t.Errorf("a call of %d bytes: %v", size, err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("the answer to a call of %d bytes: %v", size, err)
	}
	return time.Since(start)
}

func newServer() *server { return &server{budget: NewBudget(8 << 20)} }

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(chan error, 1)
		client := newServer().dial(t, served)
		start := time.Now()
		time.Sleep(24 * time.Hour) // between frames it may be as silent as it likes
		go client.Write(frame(16)[:5])
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if took := time.Since(start) - 24*time.Hour; took != stallTime {
			t.Errorf("closed after %s", took)
		}
		if err := <-served; err == nil || !strings.Contains(err.Error(), "stopped in the middle of a frame") {
			t.Error(err)
		}
	})
}

func TestClientThatDoesNotTakeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(chan error, 1)
		client := newServer().dial(t, served)
		start := time.Now()
		client.Write(frame(10))
		time.Sleep(stallTime + time.Second) // it does not read
		synctest.Wait()
		if _, err := client.Write([]byte{0}); err == nil {
			t.Errorf("the connection is still open after %s", time.Since(start))
		}
		if err := <-served; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestFramesInOnePiece(t *testing.T) {
	s := newServer()
	served := make(chan error, 1)
	client := s.dial(t, served)
	for _, size := range []int{0, 1, 3 << 20} {
		go client.Write(append(frame(size), frame(2)...)) // the next comes in the same piece
		if _, err := io.ReadFull(client, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if !s.budget.untouched() {
		t.Errorf("%+v", s.budget)
	}
}

// A crowd is a server whose budget is held by clients that have each sent a part of a large frame and stopped.
type crowd struct {
	*server
	stalled []net.Conn
	errs    chan error // of their connections
}

func stall(t *testing.T, clients int) *crowd {
	c := &crowd{newServer(), nil, make(chan error, clients)}
	for range clients {
		near := c.dial(t, c.errs)
		go near.Write(frame(2 << 20)[:700_000]) // waits for memory, or is read
		c.stalled = append(c.stalled, near)
	}
	synctest.Wait()
	return c
}

func TestSmallFramesDoNotWaitForStalledOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 100)
		for range 100 {
			if took := c.send(t, 50_000); took != 0 {
				t.Fatalf("it took %s", took)
			}
		}
	})
}

func TestStalledClientsAreCutWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 5)
		var mu sync.Mutex
		var said []string
		over := false
		c.budget.Pressed = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				over = true
				return
			}
			said = append(said, err.Error())
		}
		if took := c.send(t, 3<<20); took > 5*(hurry+2*lookEvery) {
			t.Errorf("it took %s", took)
		}
		err := <-c.errs
		if !errors.Is(err, ErrSlow) {
			t.Error(err)
		}
		time.Sleep(30 * time.Second) // the others that waited were given what they waited for, and stall too
		synctest.Wait()
		if !over || len(said) == 0 || !strings.Contains(said[0], "calls wait for memory") || !strings.Contains(said[0], "slow clients are disconnected") {
			t.Errorf("%v, %q", over, said)
		}
	})
}

func TestSlowClientsStayWhereNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stall(t, 1)
		for range 20 {
			time.Sleep(stallTime / 2)
			if _, err := c.stalled[0].Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A call that waits in a full channel is no slow client, whoever waits for its memory.
func TestCallsInTheChannelAreNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan struct{}), make(chan struct{})
		s := newServer()
		s.do = func() {
			begun <- struct{}{}
			<-end
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { s.send(t, 3<<20) })
		}
		for range 5 {
			<-begun
			time.Sleep(time.Hour)
			end <- struct{}{}
		}
		wg.Wait()
	})
}

// A channel that is slow holds up the reading of frames; that is no stall of the client's.
func TestAClientThatWaitsForTheBudgetIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{budget: NewBudget(1 << 20)}
		all, beyond := s.budget.Loan(), s.budget.Loan()
		for l, bytes := range map[*Loan]int64{all: s.budget.small, beyond: s.budget.most} {
			if _, err := l.Grow(t.Context(), bytes); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			time.Sleep(stallTime * 3 / 2)
			all.End()
			beyond.End()
		}()
		s.send(t, 100<<10)
	})
}
