//go:build interop

package hdfs

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// secured starts a NameNode, two DataNodes and a KDC that ask for Kerberos, and returns how to run peers with them.
func secured(t *testing.T, settings ...string) (conf *Conf, krb5, keytab string) {
	t.Helper()
	dir := filepath.Join(os.Getenv("PEERS_DATA"), "secured")
	base := 23000
	if v := os.Getenv("PEERS_PORT_BASE"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		base = n + 100
	}
	kdc := filepath.Join(dir, "kdc")
	krb5 = filepath.Join(kdc, "krb5.conf")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("../../test/peers/peers", args...)
		cmd.Env = append(os.Environ(), "PEERS_DATA="+dir, "PEERS_PORT_BASE="+strconv.Itoa(base), "JAVA_TOOL_OPTIONS=-Djava.security.krb5.conf="+krb5)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("peers %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run("kdc", "start")
	t.Cleanup(func() { run("stop"); os.RemoveAll(dir) })
	start := []string{"hdfs", "start", "--datanodes", "2", "--replication", "2"}
	for _, p := range []string{"nn/localhost", "dn/localhost", "HTTP/localhost", "flume"} {
		name, _, _ := strings.Cut(p, "/")
		run("kdc", "principal", p, filepath.Join(kdc, name+".keytab"))
	}
	for k, v := range map[string]string{
		"hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "false", "dfs.block.access.token.enable": "true",
		"dfs.namenode.kerberos.principal": "nn/localhost@SLUICE.TEST", "dfs.namenode.keytab.file": kdc + "/nn.keytab",
		"dfs.datanode.kerberos.principal": "dn/localhost@SLUICE.TEST", "dfs.datanode.keytab.file": kdc + "/dn.keytab",
		"dfs.web.authentication.kerberos.principal": "HTTP/localhost@SLUICE.TEST", "dfs.web.authentication.kerberos.keytab": kdc + "/HTTP.keytab",
		"dfs.namenode.kerberos.internal.spnego.principal": "HTTP/localhost@SLUICE.TEST", "ignore.secure.ports.for.testing": "true",
		"hadoop.proxyuser.flume.hosts": "*", "hadoop.proxyuser.flume.groups": "*",
	} {
		start = append(start, "--set", k+"="+v)
	}
	for _, s := range settings {
		start = append(start, "--set", s)
	}
	run(start...)
	conf, err := ReadConf(filepath.Join(dir, "hdfs", "conf"))
	if err != nil {
		t.Fatal(err)
	}
	return conf, krb5, filepath.Join(kdc, "flume.keytab")
}

// TestKerberos writes to clusters that ask for Kerberos, with each protection of RPC and of data.
func TestKerberos(t *testing.T) {
	const aes = "dfs.encrypt.data.transfer.cipher.suites=AES/CTR/NoPadding"
	for _, test := range []struct {
		name     string
		data     string // what carries the bytes
		settings []string
	}{
		{"authentication", "*net.TCPConn", []string{"hadoop.rpc.protection=authentication"}},
		{"integrity", "*hdfs.digestConn", []string{"hadoop.rpc.protection=integrity", "dfs.data.transfer.protection=integrity"}},
		{"privacy", "*hdfs.digestConn", []string{"hadoop.rpc.protection=privacy", "dfs.data.transfer.protection=privacy"}},
		{"privacy with AES", "*hdfs.counterConn", []string{"hadoop.rpc.protection=privacy", "dfs.data.transfer.protection=privacy", aes}},
		{"data authenticated", "*net.TCPConn", []string{"hadoop.rpc.protection=privacy", "dfs.data.transfer.protection=authentication"}},
		{"all data encrypted", "*hdfs.counterConn", []string{"hadoop.rpc.protection=authentication,privacy", "dfs.encrypt.data.transfer=true", aes}},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf, krb5, keytab := secured(t, test.settings...)
			before := goleak.IgnoreCurrent()
			login, err := NewKerberos(KerberosOptions{Principal: "flume", KeyTab: keytab, Krb5Conf: krb5, Protections: conf.Strings("hadoop.rpc.protection")})
			if err != nil {
				t.Fatal(err)
			}
			root, _, err := Split("/", conf)
			if err != nil {
				t.Fatal(err)
			}
			f, err := Open(root, Options{Conf: conf, Login: login})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			names(t, ctx, f, "/names")
			if i, err := f.Stat(ctx, "/names/b"); err != nil || i.Owner != "flume" {
				t.Error(i, err)
			}
			w, err := f.Create(ctx, "/file", CreateOptions{BlockSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			p := &tape{lineSize: 300}
			for range 50 {
				if err := p.record(ctx, w, 200, Hflush); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprintf("%T", w.(*writer).pipe.conn.nc); got != test.data {
				t.Errorf("the bytes go over %s, want %s", got, test.data)
			}
			if err := w.Close(ctx); err != nil {
				t.Fatal(err)
			}
			p.verify(t, ctx, f, "/file", true)
			if conf.Get("dfs.data.transfer.protection", "") != "" { // the DataNodes do insist
				other := conf.Clone()
				other.Set("dfs.data.transfer.protection", "")
				g, err := Open(root, Options{Conf: other, Login: login})
				if err != nil {
					t.Fatal(err)
				}
				r, err := g.Open(ctx, "/file", 0)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := r.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes are read without the protection", n)
				}
				r.Close()
				g.Close()
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			if f, err = Open(root, Options{Conf: conf, Login: login, ProxyUser: "alice"}); err != nil {
				t.Fatal(err)
			}
			owned(t, f, "alice")
			f.Close()
			login.Close()
			goleak.VerifyNone(t, before)

			f, err = Open(root, Options{Conf: conf, User: "flume", CallTimeout: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Stat(ctx, "/"); err == nil || !strings.Contains(err.Error(), "SIMPLE authentication is not enabled") {
				t.Error(err)
			}
		})
	}
}

// TestTicketsEnd lets tickets run out, with a key tab: the next connection gets others.
func TestTicketsEnd(t *testing.T) {
	conf, krb5, keytab := secured(t)
	text, err := os.ReadFile(krb5)
	if err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(short, []byte(strings.Replace(string(text), "[libdefaults]", "[libdefaults]\n  ticket_lifetime = 10s", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	login, err := NewKerberos(KerberosOptions{Principal: "flume@SLUICE.TEST", KeyTab: keytab, Krb5Conf: short})
	if err != nil {
		t.Fatal(err)
	}
	defer login.Close()
	root, _, err := Split("/", conf)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(root, Options{Conf: conf, Login: login})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tickets := func() int {
		log, err := os.ReadFile(filepath.Join(filepath.Dir(krb5), "requests.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), "flume@SLUICE.TEST for nn/localhost")
	}
	for want := range 3 {
		if _, err := f.Stat(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
		if n := tickets(); n != want+1 {
			t.Errorf("%d tickets, want %d", n, want+1)
		}
		time.Sleep(12 * time.Second)
		nn := f.(*client).nn
		nn.leave(nn.conn, io.EOF)
	}
}
