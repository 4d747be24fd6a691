package deadletter

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/internal/supervise"
	"github.com/sluice-io/sluice/internal/vfs"
)

// An agent that runs replays by itself, for its channels are open to nobody else. It is asked with files in a directory:
//
//	agent.lock        locked as long as the agent runs
//	agent.json        who it is
//	NAME.request      what it is asked; taken by renaming it
//	NAME.taken        it is being done
//	NAME.answer       what came of it; whoever asked removes it
const (
	agentLock     = "agent.lock"
	agentFile     = "agent.json"
	requestSuffix = ".request"
	takenSuffix   = ".taken"
	answerSuffix  = ".answer"
	partSuffix    = ".part"
)

// look is how often an agent looks for requests, and who asks for the answer.
const (
	lookForRequest = 250 * time.Millisecond
	lookForAnswer  = 50 * time.Millisecond
)

// mostRequest bounds a request and an answer in bytes.
const mostRequest = 1 << 20

// A Request asks for a replay.
type Request struct {
	Dirs  []string `json:"dirs"`  // nil: those of the agent
	Where []string `json:"where"` // as ParseFilter takes it
	To    string   `json:"to"`    // source, channel, source:NAME, channel:NAME; empty: to where each comes from
}

// An Answer is what came of it.
type Answer struct {
	Settled  int      `json:"replayed"`
	Again    int      `json:"again"`
	Open     int      `json:"open"`
	Unrouted int      `json:"unrouted"`
	Remarks  []string `json:"remarks,omitempty"` // what is wrong with some letters
	Error    string   `json:"error,omitempty"`   // what has ended it
}

// An Identity says which agent runs.
type Identity struct {
	PID   int      `json:"pid"`
	Files []string `json:"files"` // its configuration
}

// Serve answers requests in dir until ctx ends. The error means that it cannot. While another agent answers there it waits,
// and says so.
func Serve(ctx context.Context, dir string, who Identity, log *slog.Logger, do func(ctx context.Context, r Request) Answer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := alone(ctx, dir, log)
	if err != nil || lock == nil {
		return err
	}
	defer func() { _ = lock.Release() }() // it is not locked any more, removed or not
	if err := forget(dir); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, agentFile), who); err != nil {
		return err
	}
	defer func() { _ = os.Remove(filepath.Join(dir, agentFile)) }() // without the lock it says nothing
	trouble := supervise.Trouble{Log: log, Failing: "requests to replay dead letters cannot be read"}
	for supervise.Sleep(ctx, lookForRequest) == nil {
		if err := serve(ctx, dir, do); err != nil {
			trouble.Report(slog.LevelWarn, err, 0)
		}
	}
	return nil
}

// alone waits for the lock; nil: ctx has ended. Who asks holds it too, for a moment, to see whether anybody else does.
func alone(ctx context.Context, dir string, log *slog.Logger) (vfs.Lock, error) {
	for tries := 1; ; tries++ {
		lock, err := vfs.OS{}.Lock(filepath.Join(dir, agentLock))
		if locked := (*vfs.LockedError)(nil); !errors.As(err, &locked) {
			return lock, err
		}
		wait := lookForRequest
		if tries >= 4 {
			wait = 30 * time.Second // looking who holds it costs something
		}
		if tries == 4 {
			log.Warn("another agent of this name has the same data directory: dead letters of both are in one place, and those of this one cannot be replayed while both run; give each a --data-dir", "error", err)
		}
		if supervise.Sleep(ctx, wait) != nil {
			return nil, nil
		}
	}
}

// forget removes what was asked of an agent that is gone.
func forget(dir string) error {
	for _, kind := range []string{requestSuffix, takenSuffix, answerSuffix, partSuffix} {
		paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+kind))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func serve(ctx context.Context, dir string, do func(ctx context.Context, r Request) Answer) error {
	requests, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*"+requestSuffix))
	if err != nil {
		return err
	}
	for _, path := range requests {
		name := strings.TrimSuffix(path, requestSuffix)
		if err := os.Rename(path, name+takenSuffix); errors.Is(err, os.ErrNotExist) {
			continue // taken back
		} else if err != nil {
			return err
		}
		var r Request
		answer := Answer{}
		if err := readJSON(name+takenSuffix, &r); err != nil {
			answer.Error = err.Error()
		} else {
			answer = do(ctx, r)
		}
		if err := writeJSON(name+answerSuffix, answer); err != nil {
			return err
		}
		if err := os.Remove(name + takenSuffix); err != nil {
			return err
		}
	}
	return nil
}

// escapeGlob makes a directory's name stand for itself in a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Running reports which agent answers requests in dir, if one does.
func Running(dir string) (Identity, bool, error) {
	var who Identity
	if _, err := os.Stat(filepath.Join(dir, agentLock)); errors.Is(err, os.ErrNotExist) {
		return who, false, nil
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(dir, agentLock))
	if err == nil {
		return who, false, lock.Release()
	}
	if locked := (*vfs.LockedError)(nil); !errors.As(err, &locked) {
		return who, false, err
	}
	if err := readJSON(filepath.Join(dir, agentFile), &who); err != nil && !errors.Is(err, os.ErrNotExist) {
		return who, true, err
	}
	return who, true, nil
}

// Ask has the agent that answers in dir do something. When ctx ends before the agent has begun, it is not done.
func Ask(ctx context.Context, dir string, r Request) (Answer, error) {
	name := filepath.Join(dir, rand.Text())
	if err := writeJSON(name+requestSuffix, r); err != nil {
		return Answer{}, fmt.Errorf("asking the agent: %w", err)
	}
	for looks := 1; ; looks++ {
		var a Answer
		err := readJSON(name+answerSuffix, &a)
		if err == nil {
			return a, os.Remove(name + answerSuffix)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return Answer{}, fmt.Errorf("reading the agent's answer: %w", err)
		}
		if supervise.Sleep(ctx, lookForAnswer) != nil {
			if os.Remove(name+requestSuffix) == nil {
				return Answer{}, errors.New("the agent had not begun, and nothing was replayed")
			}
			return Answer{}, errors.New("the agent has begun, and goes on by itself")
		}
		if looks%20 == 0 && gone(dir, name) {
			_, _ = os.Remove(name+requestSuffix), os.Remove(name+takenSuffix) // they are for an agent that has ended
			return Answer{}, errors.New("the agent has ended meanwhile; what was replayed is settled, ask again for the rest")
		}
	}
}

// gone reports whether the agent that was asked has ended, be it that another one runs by now.
func gone(dir, name string) bool {
	if _, running, err := Running(dir); err == nil && !running {
		return true
	}
	for _, kind := range []string{requestSuffix, takenSuffix, answerSuffix} { // in the order in which they come and go
		if _, err := os.Stat(name + kind); !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// writeJSON writes a file that is there whole or not at all.
func writeJSON[T Request | Answer | Identity](path string, v T) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+partSuffix, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return errors.Join(keepOwner(path+partSuffix), os.Rename(path+partSuffix, path))
}

func readJSON[T Request | Answer | Identity](path string, v *T) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, mostRequest))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
