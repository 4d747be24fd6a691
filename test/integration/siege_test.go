//go:build interop

package integration

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// halves has 500 connections begin a message each that none of them ends; every second one goes on with a byte a second.
// Others are served meanwhile, for ten seconds; end closes all.
func halves(connect func() net.Conn, begin func(i int) []byte, more byte, serves func()) (end func()) {
	stop := make(chan struct{})
	var slow []net.Conn
	var loris sync.WaitGroup
	for i := range 500 {
		conn := connect()
		slow = append(slow, conn)
		loris.Go(func() {
			_, _ = conn.Write(begin(i)) // the source may close the connection at any time
			for i%2 == 0 {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
				if _, err := conn.Write([]byte{more}); err != nil {
					return
				}
			}
		})
	}
	again := time.NewTicker(3 * time.Second)
	defer again.Stop()
	for range 3 {
		serves()
		<-again.C
	}
	return func() {
		close(stop)
		for _, conn := range slow {
			conn.Close()
		}
		loris.Wait()
	}
}

// saidOnce holds that a log names each cause once, however often it came.
func saidOnce(t *testing.T, log string, causes ...string) {
	t.Helper()
	for _, cause := range causes {
		if n := strings.Count(log, cause); n != 1 {
			t.Errorf("%q is said %d times", cause, n)
		}
	}
}
