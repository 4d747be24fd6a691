package cli

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// runVersion prints five lines in the shape of Flume's. All of it is what the Go tool stamped into the binary.
func runVersion(p *program, _ *command, _ *launch) error {
	b := readBuild()
	fmt.Fprintf(p.out, "Sluice %s\n", b.version)
	fmt.Fprintln(p.out, "Source code repository: https://github.com/sluice-io/sluice")
	fmt.Fprintf(p.out, "Revision: %s\n", b.revision)
	fmt.Fprintf(p.out, "Compiled by %s for %s\n", b.compiler, b.platform)
	fmt.Fprintf(p.out, "From source of %s; runs configurations of Flume 1.x\n", b.time)
	return nil
}

type build struct{ version, revision, compiler, platform, time string }

func readBuild() build {
	b := build{version: "(unknown)", revision: "(unknown)", compiler: "(unknown)", platform: "(unknown)", time: "(unknown)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.version, b.compiler = strings.TrimPrefix(info.Main.Version, "v"), info.GoVersion
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	b.platform = set["GOOS"] + "/" + set["GOARCH"]
	if v := set["vcs.revision"]; v != "" {
		b.revision = v
	}
	if set["vcs.modified"] == "true" {
		b.revision += " (changed)"
	}
	if v := set["vcs.time"]; v != "" {
		b.time = v
	}
	return b
}
