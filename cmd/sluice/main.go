// Command sluice runs Apache Flume's configurations. It answers to the name flume-ng too.
package main

import (
	"os"

	"github.com/sluice-io/sluice/internal/cli"
	"github.com/sluice-io/sluice/kit"
)

func main() {
	os.Exit(cli.Main(kit.Standard, os.Args[1:]))
}
