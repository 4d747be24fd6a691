package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/internal/logline"
	"github.com/sluice-io/sluice/internal/supervise"
)

// batchBytes is when a batch of lines goes though it has not enough of them.
const batchBytes = 1 << 20

// A feed makes events of lines and sends them.
type feed struct {
	to         client.Sender
	headers    flume.Headers // of every event
	fileHeader string        // its header with the path of the file; empty: none
	batch      int           // the most events of one call
	sent       int           // events that were
}

// lines sends the lines of r. What has been read goes when there is no more to read at the moment.
func (f *feed) lines(ctx context.Context, r io.Reader, name string) error {
	in := newLines(r, name)
	headers := f.headers
	if f.fileHeader != "" {
		headers = append(slices.Clone(headers), flume.Header{Key: f.fileHeader, Value: name}).Unique()
	}
	b, size := make(flume.Batch, 0, f.batch), 0
	for {
		line, err := in.next()
		if err == nil {
			b = append(b, flume.Event{Headers: headers[:len(headers):len(headers)], Body: line})
			size += len(line)
		}
		if len(b) > 0 && (err != nil || len(b) == f.batch || size >= batchBytes || !in.pending()) {
			if sending := f.send(ctx, b); sending != nil {
				return fmt.Errorf("%s: of its lines up to %d, the last %d: %w", name, in.n, len(b), sending)
			}
			b, size = b[:0], 0
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *feed) send(ctx context.Context, b flume.Batch) error {
	err := f.to.AppendBatch(ctx, b)
	var part *client.BatchError
	switch {
	case err == nil:
		f.sent += len(b)
	case errors.As(err, &part):
		f.sent += part.Delivered
	}
	return err
}

// path sends the lines of a file, or of the files in a directory, in the order of their names; "-" is in.
func (f *feed) path(ctx context.Context, path string, in io.Reader) error {
	if path == "-" {
		return f.lines(ctx, in, "the standard input")
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return f.file(ctx, path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := f.file(ctx, file); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) file(ctx context.Context, path string) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return f.lines(ctx, r, path)
}

// readProperties reads a file of Java properties that is no configuration.
func readProperties(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values, problems := conf.Properties(path, text)
	if problems.Fatal() {
		return nil, errors.New(strings.TrimSpace(problems.String()))
	}
	out := make(map[string]string, len(values))
	for _, v := range values {
		out[v.Key] = v.Text
	}
	return out, nil
}

// headersOf makes headers of properties, in the order of their names.
func headersOf(properties map[string]string) flume.Headers {
	var out flume.Headers
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		out = append(out, flume.Header{Key: key, Value: properties[key]})
	}
	return out
}

// consume sends the lines of the files in a directory as the source spooldir of the kit reads them: each file is renamed to
// NAME.COMPLETED when its lines have arrived, and one that was left half way is gone on with. It returns when none is left.
func (p *program) consume(ctx context.Context, dir string, f *feed) error {
	at := slices.IndexFunc(p.kit.Sources, func(k flume.Kind[flume.Source]) bool { return k.Is("spooldir") })
	if at < 0 {
		return errors.New("this binary has no source spooldir, which reads directories")
	}
	sec := section("sources", map[string]string{"spoolDir": dir, "pollDelay": "20", "batchSize": fmt.Sprint(f.batch),
		"ignorePattern": "^.*" + flumeCompleted + "$"})
	plan, problems := p.kit.Sources[at].Bind(sec)
	if problems.Fatal() {
		return errors.New(strings.TrimSpace(problems.String()))
	}
	env := p.env("avro-client")
	env.TransactionCapacity = f.batch
	env.Reject = func(_ context.Context, r ...flume.Rejection) error { return r[0].Err }
	source, err := plan.Open(ctx, env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := errors.New("all files are sent")
	go func() {
		for ctx.Err() == nil {
			left, err := waiting(dir)
			switch {
			case err != nil:
				cancel(err)
			case left == 0:
				cancel(done)
			}
			_ = supervise.Sleep(ctx, lookAgain) // whose end the loop sees
		}
	}()
	err = source.Run(ctx, func(_ context.Context, b flume.Batch) error {
		for i := range b {
			b[i].Headers = f.headers[:len(f.headers):len(f.headers)]
		}
		err := f.send(ctx, b)
		if err != nil {
			cancel(err)
		}
		return err
	})
	closed := source.Close()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, done):
		return errors.Join(closed, failures(dir))
	case cause != nil:
		return cause
	}
	return errors.Join(err, closed)
}

// The names that the source spooldir gives by default.
const (
	completed  = ".COMPLETED"
	trackerDir = ".flumespool"
	failed     = ".failed"
)

const lookAgain = 10 * time.Millisecond

// flumeCompleted is what Flume's command puts behind the names of files that it has sent.
const flumeCompleted = "fileSuffix"

// waiting is how many files of a directory are to be read still.
func waiting(dir string) (n int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), completed) || strings.HasSuffix(e.Name(), flumeCompleted) || e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, trackerDir, e.Name()+failed)); errors.Is(err, fs.ErrNotExist) {
			n++
		}
	}
	return n, nil
}

// failures names the files that could not be read.
func failures(dir string) error {
	marks, err := filepath.Glob(filepath.Join(dir, trackerDir, "*"+failed))
	if err != nil || len(marks) == 0 {
		return err
	}
	return fmt.Errorf("%d files of %s could not be read to their ends, the first as %s says", len(marks), dir, marks[0])
}

// section is a component's part of a configuration.
func section(group string, settings map[string]string) *conf.Section {
	var values conf.Values
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		values = append(values, conf.Value{Key: key, Text: settings[key]})
	}
	sec := conf.NewSection("", group, "", "", conf.Pos{}, values)
	sec.Env = os.LookupEnv
	return sec
}

// env is what a component gets that runs without an agent.
func (p *program) env(name string) flume.Env {
	return flume.Env{Agent: "sluice", Name: name, Log: slog.New(logline.New(slog.LevelWarn, p.err)), Counter: newCounter}
}
