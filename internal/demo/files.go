package demo

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The configurations as their authors wrote them.
var (
	//go:embed kafka-memory-avro.conf
	textA string
	//go:embed avro-memory-kafka.conf
	textB string
)

// writeFiles writes the configurations with other addresses and directories, nothing else.
func writeFiles(dir string, brokers []string, port int) (fileA, fileB string, err error) {
	change := strings.NewReplacer(
		"127.0.0.1:9092", strings.Join(brokers, ","),
		"port = 44444", "port = "+strconv.Itoa(port),
		"/tmp/", dir+"/",
	)
	fileA, fileB = filepath.Join(dir, agentA+".conf"), filepath.Join(dir, agentB+".conf")
	for file, text := range map[string]string{fileA: textA, fileB: textB} {
		if err := os.WriteFile(file, []byte(change.Replace(text)), 0o644); err != nil {
			return "", "", fmt.Errorf("writing a configuration: %w", err)
		}
	}
	return fileA, fileB, nil
}
