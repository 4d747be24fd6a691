package harness

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// openTime is how long the peers may take to start.
const openTime = 5 * time.Minute

// Run opens a stage, runs the tests of a package on it, closes it, and returns the status to exit with.
func Run(m *testing.M, stage **Stage, open func(context.Context) (*Stage, error)) (status int) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	s, err := open(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*stage = s
	defer func() {
		if err := s.Close(status != 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return m.Run()
}
