package harness

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/internal/hdfs"
)

// HDFS is the stage's real cluster: a NameNode and three DataNodes, two replicas of each block.
type HDFS struct {
	Root string // hdfs://host:port
	FS   hdfs.FS

	stage *Stage
}

// Ports of the NameNode and the DataNodes in the block, as test/peers takes them.
const (
	hdfsPort  = 60
	hdfsPorts = 20
)

// HDFS starts the cluster, or what is missing of it. Agents that start later read its configuration.
func (s *Stage) HDFS(t testing.TB) *HDFS {
	t.Helper()
	out, err := s.Peers(t, 4*time.Minute, "hdfs", "start", "--datanodes", "3", "--replication", "2",
		"--set", "dfs.blocksize=1048576", // a DataNode sets a block of disk aside for each open file
		"--set", "dfs.datanode.max.transfer.threads=12288")
	if err != nil {
		t.Fatalf("starting HDFS: %v\n%s", err, out)
	}
	h := &HDFS{Root: "hdfs://127.0.0.1:" + strconv.Itoa(s.base+hdfsPort), stage: s}
	conf := filepath.Join(s.Dir, "hdfs", "conf")
	s.env = append(s.env[:len(s.env):len(s.env)], "HADOOP_CONF_DIR="+conf)
	settings, err := hdfs.ReadConf(conf)
	if err == nil {
		h.FS, err = hdfs.Open(h.Root, hdfs.Options{Conf: settings})
	}
	if err != nil {
		t.Fatalf("opening HDFS: %v", err)
	}
	t.Cleanup(func() {
		if err := h.FS.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Fresh removes a directory.
func (h *HDFS) Fresh(t testing.TB, dir string) {
	t.Helper()
	if err := h.FS.Delete(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
}

// Do runs one of the commands of peers hdfs: kill-datanode 1.
func (h *HDFS) Do(t testing.TB, args ...string) {
	t.Helper()
	if out, err := h.stage.Peers(t, 3*time.Minute, append([]string{"hdfs"}, args...)...); err != nil {
		t.Errorf("peers hdfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Text is what Hadoop's own shell makes of files, decompressed and taken out of their containers. It needs a jar for LZ4,
// which Kafka has and Hadoop has not.
func (h *HDFS) Text(t testing.TB, pattern ...string) string {
	t.Helper()
	lz4, err := filepath.Glob(filepath.Join(peersHome(), "kafka", "lib", "lz4-java-*.jar"))
	if err != nil || len(lz4) == 0 {
		t.Fatalf("Kafka has no jar for LZ4: %v", err)
	}
	args := []string{"PEERS_CP=" + lz4[0], filepath.Join(h.stage.Root, "test", "peers", "peers"), "hdfs", "fs", "-text"}
	out, err := h.stage.Run(t, 2*time.Minute, "env", append(args, pattern...)...)
	if err != nil {
		t.Errorf("hdfs fs -text %s: %v", pattern, err)
	}
	return out
}

// Files are the paths of all files below a directory.
func (h *HDFS) Files(t testing.TB, dir string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all, err := h.walk(ctx, nil, dir)
	if err != nil {
		t.Fatalf("listing %s: %v", dir, err)
	}
	return all
}

func (h *HDFS) walk(ctx context.Context, all []string, dir string) ([]string, error) {
	var err error
	for entry, wrong := range h.FS.List(ctx, dir) {
		name := path.Join(dir, entry.Name)
		switch {
		case wrong != nil:
			return all, wrong
		case entry.Dir:
			if all, err = h.walk(ctx, all, name); err != nil {
				return all, err
			}
		default:
			all = append(all, name)
		}
	}
	return all, nil
}

// Read returns the bytes of a file.
func (h *HDFS) Read(t testing.TB, name string) []byte {
	t.Helper()
	r, err := h.FS.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(fmt.Errorf("reading %s: %w", name, err))
	}
	return text
}
