//go:build interop

package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-io/sluice/test/harness"
)

// The database's disk runs full while rows come in. The events wait in the channel, none is rejected, and the log says
// why; when there is room they go in by themselves, each once. A server that ends itself for want of room is started again.
func TestSQLDiskFull(t *testing.T) {
	for _, d := range []rowsDatabase{
		{name: "postgres", url: "postgres://sluice@%s/postgres?sslmode=disable", server: true},
		{name: "mariadb", url: "mariadb://sluice@%s/sluice", server: true},
	} {
		t.Run(d.name, func(t *testing.T) { testSQLDiskFull(t, d) })
	}
}

func testSQLDiskFull(t *testing.T, d rowsDatabase) {
	disk := stage.Disk(t, 400<<20)
	peers := func(args ...string) string {
		t.Helper()
		out, err := disk.Peers(t, stage, time.Minute, append([]string{d.name}, args...)...)
		if err != nil {
			t.Fatal(err, out)
		}
		return out
	}
	t.Cleanup(func() { _, _ = disk.Peers(t, stage, time.Minute, d.name, "kill") })
	peers("start")
	_, rest, _ := strings.Cut(peers("status"), "running, ")
	at, _, _ := strings.Cut(rest, ",")
	d.url = fmt.Sprintf(d.url, at)
	d.schema = "id INT PRIMARY KEY, n INT, name TEXT, parent INT"
	d.fresh(t)

	const n = 20_000 // more than what is left of the disk; at full size the log of the server would not fit
	topic := "sql-disk-" + d.name
	stage.Broker.Fresh(t, 1, topic)
	a := stage.Agent(t, harness.Sluice, "a1", "disk-"+d.name, rowsConf(t, d, topic).Set("a1.sinks.k1.sql.exactlyOnce", "true"))
	if r := stage.Sluice(t, time.Minute, nil, "sql", "prepare", "-f", a.File, "--create"); r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	if err := disk.Fill(4 << 20); err != nil {
		t.Fatal(err)
	}
	a.Start(t)
	cl, err := kgo.NewClient(stage.Broker.Client(kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	sum, name := 0, strings.Repeat("x", 1000)
	for i := range n {
		sum += i
		cl.Produce(t.Context(), &kgo.Record{Value: fmt.Appendf(nil, `{"id": %d, "name": "%d%s"}`, i, i, name)}, nil)
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(t, a, "sink k1 - events cannot be delivered.*(No space left|is full)")
	waiting := func() error {
		size, err := a.Metric("CHANNEL.c1", "ChannelSize")
		if err == nil && size == "0" {
			err = errors.New("the channel is empty")
		}
		return err
	}
	for range 20 { // and it stays so
		time.Sleep(100 * time.Millisecond)
		if err := waiting(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := disk.Clear(); err != nil {
		t.Fatal(err)
	}
	ended := ""
	if _, err := disk.Peers(t, stage, time.Minute, d.name, "status"); err != nil {
		ended = ", the server had ended itself"
		peers("start")
	}
	want := fmt.Sprintf("%d %d %d", n, n, sum)
	harness.Eventually(t, 2*time.Minute, "all rows", func() error {
		got, err := d.ask(t, "SELECT count(*), count(DISTINCT id), sum(id) FROM events")
		if err == nil && got != want {
			err = fmt.Errorf("count, different ones and sum are %s instead of %s", got, want)
		}
		return err
	})
	took := time.Since(began)
	if left := letters(t, a); len(left) > 0 {
		t.Errorf("%d dead letters, the first: %s", len(left), left[0].Reason)
	}
	a.Stop(t)
	stage.Proof(t, "%d rows of Kafka into %s, whose disk ran full%s: they waited, and %v after there was room all were in, each once", n, d.name, ended, took.Round(time.Second))
}
