package logger

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/flumetest"
)

func TestLaws(t *testing.T) {
	flumetest.Sink(t, func(t testing.TB) flume.Sink { return flumetest.Open(t, Kind) })
}

// messages keeps what is logged at INFO.
type messages struct {
	level slog.Level
	got   []string
}

func (m *messages) Enabled(_ context.Context, l slog.Level) bool { return l >= m.level }
func (m *messages) Handle(_ context.Context, r slog.Record) error {
	m.got = append(m.got, r.Level.String()+" "+r.Message)
	return nil
}
func (m *messages) WithAttrs([]slog.Attr) slog.Handler { return m }
func (m *messages) WithGroup(string) slog.Handler      { return m }

// The lines without a setting are those of the real Flume.
func TestDeliver(t *testing.T) {
	for _, x := range []struct {
		settings []string
		event    flume.Event
		want     string
	}{
		{nil, flume.Event{Headers: flume.Headers{{Key: "k", Value: "v"}, {Key: "k2", Value: "v2"}}, Body: []byte("Hello world!\r")},
			"Event: { headers:{k=v, k2=v2} body: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 0D          Hello world!. }"},
		{nil, flume.Event{Headers: flume.Headers{{Key: "a", Value: "b"}}, Body: []byte("over http")},
			"Event: { headers:{a=b} body: 6F 76 65 72 20 68 74 74 70                      over http }"},
		{nil, flume.Event{Headers: flume.Headers{{Key: "host", Value: "web-1"}, {Key: "k", Value: "v"}}, Body: []byte("a body of more than sixteen bytes")},
			"Event: { headers:{host=web-1, k=v} body: 61 20 62 6F 64 79 20 6F 66 20 6D 6F 72 65 20 74 a body of more t }"},
		{nil, flume.Event{}, "Event: { headers:{} body: }"},
		{nil, flume.Event{Body: []byte{0x1f, ' ', '~', 0x7f, 0xff}},
			"Event: { headers:{} body: 1F 20 7E 7F FF                                  . ~.. }"},
		{[]string{"maxBytesToLog = 40"}, flume.Event{Body: []byte("0123456789abcdefghijklmnopqrstuvwxyz")},
			"Event: { headers:{} body: 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 0123456789abcdef\n" +
				"00000010 67 68 69 6A 6B 6C 6D 6E 6F 70 71 72 73 74 75 76 ghijklmnopqrstuv\n" +
				"00000020 77 78 79 7A                                     wxyz }"},
		{[]string{"maxBytesToLog = 3"}, flume.Event{Body: []byte("0123")}, "Event: { headers:{} body: 30 31 32                                        012 }"},
		{[]string{"maxBytesToLog = 0"}, flume.Event{Body: []byte("0123")}, "Event: { headers:{} body: }"},
	} {
		m := &messages{level: slog.LevelInfo}
		env := flumetest.NewEnv()
		env.Log = slog.New(m)
		s := flumetest.OpenIn(t, env, Kind, x.settings...)
		if err := s.Deliver(t.Context(), flume.Batch{x.event, {Body: []byte("!")}}); err != nil {
			t.Fatal(err)
		}
		if len(m.got) != 2 || m.got[0] != "INFO "+x.want {
			t.Errorf("%q\ninstead of\n%q", m.got, x.want)
		}
	}
}

func TestOffset(t *testing.T) {
	text := string(dump(nil, make([]byte, 0xb0+1)))
	if !strings.Contains(text, "\n000000A0 00 ") || !strings.Contains(text, "\n000000B0 00 ") {
		t.Error(text)
	}
}

func TestQuiet(t *testing.T) {
	m := &messages{level: slog.LevelWarn}
	env := flumetest.NewEnv()
	env.Log = slog.New(m)
	s := flumetest.OpenIn(t, env, Kind)
	if err := s.Deliver(t.Context(), flumetest.Events(0, 5)); err != nil || len(m.got) > 0 {
		t.Error(err, m.got)
	}
}

func TestSettings(t *testing.T) {
	for _, value := range []string{"all", "-1"} {
		plan, problems := Kind.Bind(flumetest.Section(t, "maxBytesToLog = "+value))
		if len(problems) != 1 || problems.Fatal() || plan.Settings.(*Settings).MaxBytes != 16 {
			t.Errorf("maxBytesToLog = %s: %v %v", value, plan.Settings, problems)
		}
	}
}
