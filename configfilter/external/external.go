// Package external is the config filter that asks a program: ${f1['NAME']} is the first line that command NAME prints.
//
//	a1.configfilters = f1
//	a1.configfilters.f1.type = external
//	a1.configfilters.f1.command = /usr/bin/get-secret --from vault
//	a1.sources.r1.keystorePassword = ${f1['keystore']}
//
// The command is cut at white space and run without a shell, NAME as its last argument, once for each token and each
// reading of the configuration. It must end by itself, with status 0, within 30 seconds, and print at most 1 MB. What
// it prints is in no message, on stderr neither: it may be the secret.
//
// A failure is an error at the value that asks; Flume leaves the text as it stands.
package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/sluice-io/sluice/conf"
)

const (
	patience = 30 * time.Second // for the program to end
	most     = 1 << 20          // bytes that it may print
)

// Kind is the external config filter.
var Kind = conf.DefineFilter("external", "org.apache.flume.configfilter.ExternalProcessConfigFilter",
	"Gives what a program prints.", open)

// A charset is an encoding of what the program prints.
type charset string

// Settings are the program and its encoding.
type Settings struct {
	command []string
	charset charset
}

// Declare declares the settings.
func (s *Settings) Declare(d *conf.Decl) {
	d.Strings(&s.command, "command", "", "The program with its arguments, separated by blanks, without quoting; the key of the token is added as the last one.").Required()
	conf.Choice(d, &s.charset, "charset", "UTF-8", "The encoding of what the program prints.",
		"UTF-8", "UTF8", "ISO-8859-1", "ISO8859_1", "latin1", "US-ASCII", "ASCII")
}

type filter struct {
	Settings
	patience time.Duration
}

func open(s *Settings, _ *conf.Section) (conf.Filter, error) {
	return &filter{*s, patience}, nil
}

// Lookup runs the program for key.
func (f *filter) Lookup(key string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	program := f.command[0]
	cmd := exec.CommandContext(ctx, program, append(f.command[1:len(f.command):len(f.command)], key)...)
	var out printed
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it starts ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for what it has started to let go of stdout
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s was ended: it ran for more than %v", program, f.patience)
	case errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("%s has ended, and a program that it started still holds its output", program)
	case err != nil:
		return "", fmt.Errorf("running %s %s: %w", program, key, err)
	case out.over:
		return "", fmt.Errorf("%s printed more than %d bytes", program, most)
	}
	line, rest := firstLine(out.text)
	if len(line) == 0 {
		return "", fmt.Errorf("%s printed nothing on its first line", program)
	}
	text := f.charset.decode(line)
	if len(rest) > 0 {
		return text, conf.Warn("", fmt.Errorf("%s printed more than one line; the first is taken", program))
	}
	return text, nil
}

// printed keeps what the program prints, within bounds.
type printed struct {
	text []byte
	over bool
}

func (p *printed) Write(b []byte) (int, error) {
	if p.over = p.over || len(p.text)+len(b) > most; !p.over {
		p.text = append(p.text, b...)
	}
	return len(b), nil
}

// firstLine cuts at LF, CR or CR LF.
func firstLine(b []byte) (line, rest []byte) {
	end := bytes.IndexAny(b, "\r\n")
	if end < 0 {
		return b, nil
	}
	line, rest = b[:end], b[end+1:]
	if b[end] == '\r' {
		rest = bytes.TrimPrefix(rest, []byte("\n"))
	}
	return line, rest
}

func (c charset) decode(b []byte) string {
	var out strings.Builder
	switch c {
	case "UTF-8", "UTF8":
		return strings.ToValidUTF8(string(b), string(utf8.RuneError))
	case "US-ASCII", "ASCII":
		for _, x := range b {
			if x >= utf8.RuneSelf {
				out.WriteRune(utf8.RuneError)
				continue
			}
			out.WriteByte(x)
		}
	default:
		for _, x := range b {
			out.WriteRune(rune(x))
		}
	}
	return out.String()
}
