package main

import (
	"path/filepath"
	"testing"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/kit"
)

// Check finds nothing in any example, nor in the two that belong together.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.conf")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples are %v, %v", files, err)
	}
	read := func(file string) *conf.Config {
		cfg, problems, err := conf.Read([]string{file}, conf.Options{Filters: kit.Standard.ConfigFilters})
		if err != nil || len(problems) > 0 {
			t.Errorf("%v\n%v", problems, err)
		}
		return cfg
	}
	for _, file := range files {
		if problems := agent.Check(kit.Standard, []*conf.Config{read(file)}, nil); len(problems) > 0 {
			t.Errorf("%s", problems)
		}
	}
	pair := []*conf.Config{read("../../examples/kafka-to-avro.conf"), read("../../examples/avro-to-kafka.conf")}
	if problems := agent.Check(kit.Standard, pair, nil); len(problems) > 0 {
		t.Errorf("%s", problems)
	}
}
