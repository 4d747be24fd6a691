package cli

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"-Dx=y -Dsluice.deadletter=discard -Dsluice.adaptive.batches=false -Dsluice.deadletter.bytes=5", nil},
		{"-Dflume.monitoring.type=http -Dflume.monitoring.port=1", nil},
		{"-Dsluice.deadletter=discrd", []string{`-Dsluice.deadletter=discrd: "discrd" is not keep or discard; keep is taken; did you mean "discard"?`}},
		{"-Dsluice.adaptive.batches=no", []string{`-Dsluice.adaptive.batches=no: "no" is not true or false; true is taken`}},
		{"-Dsluice.deadleter=discard", []string{`-Dsluice.deadleter is not known; did you mean "sluice.deadletter"?`}},
		{"-DSluice.Deadletter=discard", []string{`-DSluice.Deadletter is not known; did you mean "sluice.deadletter"?`}},
		{"-Dsluice.qqqqqqqq=1", []string{"-Dsluice.qqqqqqqq is not known"}},
		{"-Dflume.monitoring.port=1", []string{"-Dflume.monitoring.port is set without -Dflume.monitoring.type=http, so there is no metrics page"}},
		{"-Dcom.sun.management.jmxremote -Dcom.sun.management.jmxremote.port=1 -Dcom.sun.management.jmxremote.ssl=false",
			[]string{"-Dcom.sun.management.jmxremote is not used: there is no JMX; -Dflume.monitoring.type=http serves the same counters"}},
	} {
		l, err := readLaunch(strings.Fields(c.line), noEnvironment)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.warnings, c.want) {
			t.Errorf("%s: %q, want %q", c.line, l.warnings, c.want)
		}
	}
}

// TestDryRun: what a start would say of the line, a dry run says.
func TestDryRun(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	p := &program{name: "sluice", out: &out, err: &errs, environ: noEnvironment}
	status := p.main(strings.Fields("agent -d -n a1 -f x.conf -Dsluice.deadletter=discrd -Dsluice.deadletter.bytes=many " +
		"-Dflume.monitoring.type=http -Dflume.monitoring.port=many -Dflume.root.logger=LOUD,LOGFILE -Dflume.log.dir=" + dir + "/log"))
	if status != 0 || out.String() != "would run agent a1 of x.conf\n" {
		t.Errorf("status %d, %s", status, out.String())
	}
	for _, want := range []string{`"discrd" is not keep`, `-Dsluice.deadletter.bytes: "many" is not a number`, "flume.monitoring.port is not a port", `"LOUD" is no level`} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %s in\n%s", want, errs.String())
		}
	}
	if made, _ := filepath.Glob(dir + "/*"); len(made) > 0 {
		t.Errorf("a dry run has made %v", made)
	}
}
