package cli

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/conf"
)

func noEnvironment(string) (string, bool) { return "", false }

func TestReadLaunch(t *testing.T) {
	dir := t.TempDir()
	script := `
export FLUME_JAVA_OPTS="-Dflume.monitoring.type=http -Xms100m -Da=script"
JAVA_OPTS="$JAVA_OPTS -Db=java -Da=java -javaagent:x.jar"
export SECRET='s 1'
LOCAL=2
source other
`
	if err := os.WriteFile(filepath.Join(dir, "flume-env.sh"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := readLaunch(strings.Fields("-n a1 -Dc=1=2 --conf "+dir+" -f x -Dc=3=4 -Xmx1g -agentlib:jdwp=y -Dd -C /x.jar -d --plugins-path=/p"), noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"flume.monitoring.type": "http", "a": "script", "b": "java", "c": "3=4", "d": ""} {
		if got, ok := l.properties.lookup(name); got != want || !ok {
			t.Errorf("-D%s is %q, %v; want %q", name, got, ok, want)
		}
	}
	if got := strings.Join(l.args, " "); got != "-n a1 -f x" {
		t.Errorf("left for the command: %s", got)
	}
	if !l.dry || l.dir != dir {
		t.Errorf("dry run %v, directory %s", l.dry, l.dir)
	}
	if l.env["SECRET"] != "s 1" || l.env["LOCAL"] != "" {
		t.Errorf("exported: %v", l.env)
	}
	if v, _ := l.environment(noEnvironment)("SECRET"); v != "s 1" {
		t.Errorf("${env:SECRET} would be %q", v)
	}
	want := []string{
		"--plugins-path /p is not used: every component is in the binary",
		filepath.Join(dir, "flume-env.sh") + ":6: source other: needs a shell and is not read; set what it sets in the environment or as NAME=value",
		"the JVM option -javaagent:x.jar is not used: there is no JVM",
		"the JVM option -agentlib:jdwp is not used: there is no JVM",
		"the class path /x.jar is not used: every component is in the binary",
	}
	if !slices.Equal(l.warnings, want) {
		t.Errorf("warnings are\n%s\nwant\n%s", strings.Join(l.warnings, "\n"), strings.Join(want, "\n"))
	}
}

func TestReadLaunchErrors(t *testing.T) {
	for line, want := range map[string]string{
		"-n a1 -c":  "option -c needs an argument",
		"--conf=":   "",
		"-D a=b":    "option -D needs a name and a value without a blank: -Dname=value",
		"-n a1 -C":  "option -C needs an argument",
		"-c /none ": "",
	} {
		_, err := readLaunch(strings.Fields(line), noEnvironment)
		if got := errorText(err); got != want {
			t.Errorf("%s: error %q, want %q", line, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOptionsFile(t *testing.T) {
	dir := t.TempDir()
	text := "name = a2\nconf-file=one.conf\nf = two.conf\nno-reload-conf = yes\nstrict = 0\n"
	if err := os.WriteFile(filepath.Join(dir, "flume.opts"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := parseOptions(agentOptions(), strings.Fields("-n a1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := addOptionsFile(&o, agentOptions(), &launch{dir: dir}); err != nil {
		t.Fatal(err)
	}
	if o.get("name") != "a1" || o.get("conf-file") != "one.conf" || !o.has("no-reload-conf") || o.has("strict") {
		t.Errorf("options are %v", o.values)
	}
	err = addOptions(&o, agentOptions(), conf.Values{{Key: "nmae", Pos: conf.Pos{File: "flume.opts", Line: 3}}})
	if got := errorText(err); got != `flume.opts:3: option "nmae" is not known` {
		t.Errorf("error %q", got)
	}
}

func TestFileOf(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///etc/flume.conf":    "/etc/flume.conf",
		"file:/etc/flume.conf":      "/etc/flume.conf",
		"file:flume.conf":           "flume.conf",
		"/etc/flume.conf":           "/etc/flume.conf",
		"classpath:///x.conf":       "dir/x.conf",
		"classpath:/x.conf":         "dir/x.conf",
		"classpath://x.conf":        "dir/x.conf",
		"classpath:x.conf":          "dir/x.conf",
		"file://other/flume.conf":   "! names a file of another machine; a file of this one is file:///path",
		"http://host/flume.conf":    "! reading the configuration from a web server is not in this version; fetch it to a file before the start and give that with -f",
		"hdfs://namenode/flume.con": "! configurations are read from file: and classpath: URIs",
	} {
		got, err := fileOf(uri, "dir")
		text, fails := strings.CutPrefix(want, "!")
		switch {
		case fails && (err == nil || !strings.HasSuffix(err.Error(), text) || !strings.Contains(err.Error(), uri)):
			t.Errorf("%s: error %v", uri, err)
		case !fails && (err != nil || got != want):
			t.Errorf("%s: %q, %v; want %q", uri, got, err, want)
		}
	}
}

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		properties properties
		console    bool
		file       string
		level      slog.Level
		warning    string
	}{
		{properties: properties{}, console: true, level: slog.LevelInfo},
		{properties: properties{"flume.root.logger": "DEBUG,console"}, console: true, level: slog.LevelDebug},
		{properties: properties{"flume.root.logger": "warn"}, console: true, level: slog.LevelWarn},
		{properties: properties{"flume.log.dir": dir + "/a"}, file: dir + "/a/flume.log", level: slog.LevelInfo},
		{properties: properties{"flume.root.logger": "INFO, LOGFILE, console", "flume.log.dir": dir + "/b", "flume.log.file": "x.log"},
			console: true, file: dir + "/b/x.log", level: slog.LevelInfo},
		{properties: properties{"flume.root.logger": "INFO,SYSLOG"}, console: true, level: slog.LevelInfo,
			warning: `flume.root.logger=INFO,SYSLOG: there is no appender "SYSLOG"; there are console and LOGFILE`},
		{properties: properties{"flume.root.logger": "LOUD,console"}, console: true, level: slog.LevelInfo,
			warning: `flume.root.logger=LOUD,console: "LOUD" is no level; INFO is taken`},
	}
	for _, test := range tests {
		var console bytes.Buffer
		l := &launch{properties: test.properties}
		log, closeLog, err := openLog(&console, l)
		if err != nil {
			t.Fatal(err)
		}
		log.Log(t.Context(), test.level, "said")
		log.Log(t.Context(), test.level-1, "whispered")
		closeLog()
		if got := console.String(); strings.Contains(got, "said\n") != test.console || strings.Contains(got, "whispered") {
			t.Errorf("%v: console has %q", test.properties, got)
		}
		if test.file != "" {
			text, err := os.ReadFile(test.file)
			if err != nil || !strings.HasSuffix(string(text), "said\n") {
				t.Errorf("%v: file has %q, %v", test.properties, text, err)
			}
		}
		if got := strings.Join(l.warnings, "\n"); got != test.warning {
			t.Errorf("%v: warning %q, want %q", test.properties, got, test.warning)
		}
	}
}
