package conf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const guide = "../test/testdata/guide-configs/"

// TestGuide reads every example of Flume's user guide.
func TestGuide(t *testing.T) {
	index, err := os.ReadFile(guide + "index.txt")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"NC_PORT": "44444"}
	find := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	o := Options{Env: find, Property: find, Filters: []FilterKind{
		testFilter("env"), testFilter("external"), RefuseFilter("hadoop", "", "needs Java"),
	}}
	// Everything that is wrong with them, each a mistake of the guide's or a word on what needs Java.
	want := map[string][]string{
		"channel-file-encryption.conf": {"6: a1.channels.c1.encryption.keyProvider: is set in line 5 too, to another value; this line wins"},
		"config-property-ref-override.conf": {
			"3: NC_PORT: belongs to no agent and no value uses it as ${NC_PORT}; keys are AGENT.sources, AGENT.sinks.NAME.KEY …"},
		"configfilter-env.conf":             {"9: a1.sources.r1.keystorePassword: the value holds a # in the middle: only a whole line can be a comment, so all of it is the value"},
		"configfilter-external-suffix.conf": {`12: a1.sinks.k1.sink.directory: "/var/log/flume/agent_${f1['agent_name']} # will be /var/log/flume/agent_1234" holds a # in the middle: only a whole line can be a comment, so all of it is the value`},
		"configfilter-external.conf":        {"11: a1.sources.r1.keystorePassword: the value holds a # in the middle: only a whole line can be a comment, so all of it is the value"},
		"configfilter-hadoop.conf": {
			"6: a1.configfilters.f1.type: needs Java",
			"10: a1.sources.r1.keystorePassword: the value holds a # in the middle: only a whole line can be a comment, so all of it is the value",
			"10: a1.sources.r1.keystorePassword: ${f1['my_keystore_password']}: config filter f1 cannot be used (see configfilter-hadoop.conf:5)"},
		"flow-multiplexing-optional.conf": {"9: agent_foo.sources.avro-AppSrv-source1.selector.mapping.AZ: is set in line 6 too, to the same value"},
		"sink-hive.conf": {
			"17: a1.sinks.k1.serializer.delimiter: the quotes are part of the value; if they are not meant to be, leave them out",
			"18: a1.sinks.k1.serializer.serdeSeparator: the quotes are part of the value; if they are not meant to be, leave them out"},
		"source-taildir.conf": {`15: a1.sources.ri: is configured and not listed in a1.sources, so it does not run; did you mean "r1"?`},
	}
	files := 0
	for line := range strings.Lines(string(index)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		files++
		f := strings.Fields(line)
		file, agent, lists := f[0], f[1], f[2:6]
		read := []string{guide + file}
		if file == "config-property-ref-base.conf" {
			read = append(read, guide+"config-property-ref-override.conf")
		}
		c, problems, err := Read(read, o)
		if err != nil {
			t.Error(err)
			continue
		}
		var said []string
		for _, p := range problems {
			said = append(said, strings.TrimPrefix(strings.ReplaceAll(p.String(), guide, ""), file+":"))
		}
		if !slices.Equal(said, want[file]) {
			t.Errorf("%s: problems\n%s", file, strings.Join(said, "\n"))
		}
		if agent == "-" {
			if len(c.Agents) > 0 {
				t.Errorf("%s: agents %v", file, c.Agents)
			}
			continue
		}
		a := c.Agent(agent)
		if len(c.Agents) != 1 || a == nil {
			t.Errorf("%s: agents %v", file, c.Agents)
			continue
		}
		for i, got := range [][]*Section{a.Sources, a.Channels, a.Sinks, a.SinkGroups} {
			var names []string
			for _, sec := range got {
				names = append(names, sec.Name)
				if sec.Fatal() && file != "configfilter-hadoop.conf" {
					t.Errorf("%s: %s cannot run", file, sec.Path(""))
				}
			}
			if have := strings.Join(append(names, "-")[:max(1, len(names))], ","); have != lists[i] {
				t.Errorf("%s: %s, want %s", file, have, lists[i])
			}
		}
	}
	if all, _ := filepath.Glob(guide + "*.conf"); len(all) != files || files != 103 {
		t.Errorf("%d files, %d in the index", len(all), files)
	}
}
