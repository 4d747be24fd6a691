package flume

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
)

// limit is a kind of component with one setting.
type limit struct{ most int }

type limitSettings struct{ Most int }

func (s *limitSettings) Declare(d *conf.Decl) {
	d.BatchSize(&s.Most, "most", 7, "How much it is at most.")
}

func section(settings ...string) *conf.Section {
	var values conf.Values
	for i, s := range settings {
		key, text, _ := strings.Cut(s, "=")
		values = append(values, conf.Value{Key: key, Text: text, Pos: conf.Pos{File: "f", Line: i + 1}})
	}
	return conf.NewSection("a1", "sinks", "k1", "a1.sinks.k1.", conf.Pos{File: "f", Line: 1}, values)
}

func TestKind(t *testing.T) {
	k := Define[limitSettings, limit]("limit", "org.example.Limit", "Is a limit.", func(_ context.Context, s *limitSettings, _ Env) (limit, error) {
		if s.Most == 13 {
			return limit{}, errors.New("unlucky")
		}
		return limit{s.Most}, nil
	})
	k.Also = []string{"org.example.OldLimit"}
	for typ, want := range map[string]bool{
		"limit": true, "LIMIT": true, "org.example.Limit": true, "org.example.OldLimit": true,
		"org.example.limit": false, "limits": false, "": false,
	} {
		if k.Is(typ) != want {
			t.Errorf("%q is this kind: %v", typ, !want)
		}
	}
	plan, problems := k.Bind(section("most=9"))
	if len(problems) > 0 || plan.Limits.BatchSize != 9 {
		t.Errorf("%+v %v", plan.Limits, problems)
	}
	for range 2 {
		if c, err := plan.Open(t.Context(), Env{}); err != nil || c.most != 9 {
			t.Errorf("%+v %v", c, err)
		}
	}
	plan, _ = k.Bind(section("most=13"))
	if _, err := plan.Open(t.Context(), Env{}); err == nil {
		t.Error("it opens")
	}
	if _, problems := k.Bind(section("most=x", "mots=9")); len(problems) != 2 || !problems.Fatal() {
		t.Error(problems)
	}
	if m := k.Manual(); len(m.Settings) != 1 || m.Settings[0].Key != "most" {
		t.Errorf("%+v", m)
	}
}

func TestRefused(t *testing.T) {
	known := Define[limitSettings, limit]("limit", "org.example.Limit", "Is a limit.", nil).Refused("not today; take another")
	sec := section("type=limit", "mots=9")
	sec.Get("type") // as the agent does
	plan, problems := known.Bind(sec)
	const want = "f:2: a1.sinks.k1.mots: is not a setting; did you mean \"most\"? (which is 7 as long as it is not set)\n" +
		"f:1: a1.sinks.k1.type: not today; take another\n"
	if problems.String() != want || !problems.Fatal() {
		t.Errorf("%s\ninstead of\n%s", problems, want)
	}
	if _, err := plan.Open(t.Context(), Env{}); err == nil || err.Error() != "not today; take another" {
		t.Errorf("opening returned %v", err)
	}
	if len(known.Manual().Settings) != 1 {
		t.Error("its settings are not in the manual")
	}

	unknown := Refuse[limit]("limit", "org.example.Limit", "never; take another")
	plan, problems = unknown.Bind(section("whatever=1"))
	if len(problems) != 1 || !problems.Fatal() || problems[0].Text != "never; take another" {
		t.Error(problems)
	}
	if _, err := plan.Open(t.Context(), Env{}); err == nil {
		t.Error("it opens")
	}
	if len(unknown.Manual().Settings) != 0 {
		t.Error("it has settings")
	}
}
