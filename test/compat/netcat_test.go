//go:build interop

package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// Lines of text over TCP: what they become, and what is replied.
func TestNetcat(t *testing.T) {
	r := stage.Rand(t)
	var lanes []lane
	for range stage.Count(200, 40) {
		lanes = append(lanes, netcatLane(r))
	}
	compare(t, 0, lanes)
}

func netcatLane(r *rand.Rand) lane {
	conf := []string{"source.type = " + pick(r, "netcat", "org.apache.flume.source.NetcatSource"), "source.bind = {host}", "source.port = {port}"}
	longest, encoding := 512, "utf-8"
	if r.IntN(2) == 0 {
		longest = pick(r, 5, 40, 2000)
		conf = append(conf, fmt.Sprint("source.max-line-length = ", longest))
	}
	if r.IntN(2) == 0 {
		conf = append(conf, "source.ack-every-event = "+flag(r))
	}
	if r.IntN(3) == 0 {
		encoding = pick(r, "UTF-8", "ISO-8859-1", "US-ASCII", "UTF-16BE", "utf-16le")
		conf = append(conf, "source.encoding = "+encoding)
	}
	var input strings.Builder
	for range 1 + r.IntN(20) {
		line := strings.ReplaceAll(phrase(r, 6), "\n", "")
		if strings.HasSuffix(encoding, "ASCII") || strings.HasPrefix(encoding, "ISO") {
			line = strings.Map(func(c rune) rune {
				if c >= 128 {
					return 'x'
				}
				return c
			}, line)
		}
		for len(utf16.Encode([]rune(line))) >= longest {
			_, size := splitLast(line)
			line = line[:size]
		}
		input.WriteString(line + "\n")
	}
	// A last line without a newline is lost in Flume.
	if r.IntN(4) == 0 { // the last, for the connection is closed behind it
		input.WriteString(strings.Repeat("x", longest+r.IntN(3)) + "\n")
	}
	bytes := encode(input.String(), encoding)
	return lane{name: "netcat " + encoding, conf: strings.Join(conf, "\n"), input: strconv.Quote(input.String()), feed: sendText(bytes)}
}

// splitLast is where the last character of a text begins.
func splitLast(text string) (rune, int) {
	runes := []rune(text)
	last := runes[len(runes)-1]
	return last, len(text) - len(string(last))
}

func encode(text, encoding string) []byte {
	if !strings.HasPrefix(strings.ToUpper(encoding), "UTF-16") {
		return []byte(text)
	}
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		if strings.EqualFold(encoding, "UTF-16BE") {
			out = append(out, byte(unit>>8), byte(unit))
		} else {
			out = append(out, byte(unit), byte(unit>>8))
		}
	}
	return out
}

// sendText feeds bytes over TCP, closes its end, and tells what was replied.
func sendText(text []byte) func(ctx context.Context, p place) ([]string, error) {
	return func(ctx context.Context, p place) ([]string, error) {
		if err := reach(ctx, p.address()); err != nil {
			return nil, err
		}
		conn, err := net.Dial("tcp", p.address())
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write(text); err != nil {
			return nil, err
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return nil, err
		}
		replies, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			return nil, err
		}
		return []string{strconv.Quote(string(replies))}, nil
	}
}
