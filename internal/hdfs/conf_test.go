package hdfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeConf(t *testing.T, dir, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("<?xml version=\"1.0\"?>\n<configuration xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n"+body+"</configuration>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func property(name, value string) string {
	return "<property><name>" + name + "</name><value>" + value + "</value></property>\n"
}

func TestConf(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HDFS_TEST_PORT", "9000")
	writeConf(t, dir, "core-site.xml", property("fs.defaultFS", " hdfs://ns1 ")+
		"<property><name>dfs.replication</name><value>2</value><final>true</final></property>\n"+
		`<xi:include href="more.xml"/><xi:include href="none.xml"><xi:fallback/></xi:include>`)
	writeConf(t, dir, "more.xml", property("dfs.blocksize", "256m")+property("hidden", "no"))
	writeConf(t, dir, "hdfs-site.xml", property("dfs.replication", "3")+property("dfs.ha.namenodes.ns1", "a, b")+
		property("dfs.namenode.rpc-address.ns1.a", "${host}:${env.HDFS_TEST_PORT}")+property("dfs.namenode.rpc-address.ns1.b", "${other}")+
		property("host", "one")+property("dfs.client.socket-timeout", "5m")+property("loop", "${loop}")+property("x", "true")+
		property("env", "${env.HDFS_TEST_NONE:-8}"))
	c, where, err := FindConf(func(name string) string {
		return map[string]string{"HADOOP_CONF_DIR": filepath.Join(dir, "nowhere"), "HADOOP_HOME": ""}[name]
	}, dir)
	if err != nil || where != dir {
		t.Fatal(where, err)
	}
	if n := c.Int("dfs.replication", 1); n != 2 {
		t.Errorf("a final setting is %d", n)
	}
	if n := c.Size("dfs.blocksize", 1); n != 256<<20 {
		t.Errorf("an included size is %d", n)
	}
	if d := c.Duration("dfs.client.socket-timeout", time.Millisecond, time.Minute); d != 5*time.Minute {
		t.Errorf("a time is %v", d)
	}
	if c.Get("loop", "") != "${loop}" || !c.Bool("x", false) || c.Int("env", 0) != 8 || c.Bool("none", true) != true {
		t.Error("loop, x or env is wrong")
	}
	addrs, err := c.nameNodes("ns1")
	if err != nil || strings.Join(addrs, " ") != "one:9000 ${other}:8020" {
		t.Error(addrs, err)
	}
	c.Set("dfs.ha.namenodes.ns2", "c")
	if _, err := c.nameNodes("ns2"); err == nil || !strings.Contains(err.Error(), "dfs.namenode.rpc-address.ns2.c") {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"/a/%Y":               "hdfs://ns1 /a/%Y",
		"hdfs://h:1/a":        "hdfs://h:1 /a",
		"hdfs:///a":           "hdfs://ns1 /a",
		"hdfs:/a":             "hdfs://ns1 /a",
		"hdfs://h":            "hdfs://h /",
		"file:///tmp/a":       "file:// /tmp/a",
		"file:/tmp/a":         "file:// /tmp/a",
		"s3a://b/c":           "s3a://b /c",
		"relative/%{host}:/a": "",
		"relative":            "",
	} {
		root, name, err := Split(path, c)
		if got := strings.TrimSpace(root + " " + name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s is split into %q, want %q: %v", path, got, want, err)
		}
	}
	if root, _, err := Split("/x", NewConf()); root != "file://" || err != nil {
		t.Error(root, err)
	}
	if _, err := Open("ftp://x", Options{}); err == nil {
		t.Error("ftp is a file system")
	}
	writeConf(t, dir, "core-site.xml", "<property>")
	if _, err := ReadConf(dir); err == nil || !strings.Contains(err.Error(), "core-site.xml") {
		t.Error(err)
	}
}
