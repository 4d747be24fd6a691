//go:build interop

package integration

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-io/sluice/client"
	"github.com/sluice-io/sluice/flume"
	"github.com/sluice-io/sluice/test/harness"
)

// Every file type with every codec, write format and serializer is read by Hadoop's own shell: all events, each once.
// Gzip in a SequenceFile and zstandard need Hadoop's native libraries, which the peers lack; other readers read those.
func TestHDFSFormats(t *testing.T) {
	h := stage.HDFS(t)
	h.Fresh(t, "/formats")
	port := stage.Port(t)
	conf := harness.Conf("a1.sources = r1\n").Set("a1.channels", "").Set("a1.sinks", "").
		SetAll("a1.sources.r1.", [][2]string{{"type", "avro"}, {"bind", "127.0.0.1"}, {"port", fmt.Sprint(port)}})
	var names []string
	sink := func(class string, settings ...string) {
		n := len(names) + 1
		k, c := fmt.Sprintf("k%d", n), fmt.Sprintf("c%d", n)
		names = append(names, fmt.Sprint(n))
		conf = conf.SetAll("a1.channels."+c+".", [][2]string{{"type", "memory"}, {"capacity", "10000"}, {"transactionCapacity", "100"}}).
			SetAll("a1.sinks."+k+".", [][2]string{{"type", "hdfs"}, {"channel", c}, {"hdfs.path", h.Root + "/formats/" + class + "/" + fmt.Sprint(n)},
				{"hdfs.rollInterval", "0"}, {"hdfs.rollCount", "0"}, {"hdfs.rollSize", "0"}})
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			conf = conf.Set("a1.sinks."+k+"."+key, value)
		}
	}
	sink("text", "hdfs.fileType=DataStream")
	sink("avro", "hdfs.fileType=DataStream", "serializer=avro_event", "serializer.compressionCodec=deflate")
	sink("headers", "hdfs.fileType=DataStream", "serializer=header_and_text")
	sink("writable", "hdfs.batchSize=7")
	sink("sequence", "hdfs.writeFormat=Text")
	for _, codec := range []string{"gzip", "deflate", "default", "bzip2", "snappy", "lz4"} {
		sink("text", "hdfs.fileType=CompressedStream", "hdfs.codeC="+codec)
		sink("headers", "hdfs.fileType=CompressedStream", "serializer=header_and_text", "hdfs.codeC="+codec)
		if codec != "gzip" {
			sink("sequence", "hdfs.writeFormat=Text", "hdfs.codeC="+codec)
			sink("writable", "hdfs.codeC="+codec)
		}
	}
	conf = conf.Set("a1.channels", "c"+strings.Join(names, " c")).Set("a1.sinks", "k"+strings.Join(names, " k")).Set("a1.sources.r1.channels", "c"+strings.Join(names, " c"))
	a := stage.Agent(t, harness.Sluice, "a1", "formats", conf)
	a.Start(t)
	cl, err := client.Open(client.Options{Address: fmt.Sprintf("127.0.0.1:%d", port)})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	const batches, per = 20, 50
	for i := range batches {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var b flume.Batch
		for n := range per {
			b = append(b, flume.Event{Headers: flume.Headers{{Key: "h", Value: "é"}, {Key: "timestamp", Value: "1711886400000"}}, Body: body(i*per + n)})
		}
		err := cl.AppendBatch(ctx, b)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, time.Minute, "all sinks have delivered all", func() error {
		page, err := a.MetricsPage()
		for _, n := range names {
			if got := page["SINK.k"+n]["EventDrainSuccessCount"]; err == nil && got != fmt.Sprint(batches*per) {
				err = fmt.Errorf("k%s has delivered %s", n, got)
			}
		}
		return err
	})
	a.Stop(t)
	for _, class := range []string{"text", "headers", "avro", "sequence", "writable"} {
		files := h.Files(t, "/formats/"+class)
		got := map[string]int{}
		for line := range strings.Lines(h.Text(t, "/formats/"+class+"/*/*")) {
			got[strings.TrimSuffix(line, "\n")]++
		}
		wrong := 0
		for i := range batches * per {
			if n := got[shown(class, body(i))]; n != len(files) {
				if wrong++; wrong < 4 {
					t.Errorf("%s: event %d is shown %d times of %d files: %q", class, i, n, len(files), shown(class, body(i)))
				}
			}
		}
		if len(got) != batches*per {
			t.Errorf("%s: %d different lines of %d events", class, len(got), batches*per)
		}
		stage.Proof(t, "%s: %d files, each with %d events as hdfs fs -text shows them", class, len(files), batches*per)
		if slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, ".tmp") }) {
			t.Error(files)
		}
	}
}

func body(n int) []byte { return fmt.Appendf(nil, "event %d %s", n, strings.Repeat("x", n*37%4000)) }

// shown is a line of hdfs fs -text for an event.
func shown(class string, body []byte) string {
	const key = "1711886400000\t"
	switch class {
	case "headers":
		return "{h=é, timestamp=1711886400000} " + string(body)
	case "avro":
		return `{"headers":{"h":"é","timestamp":"1711886400000"},"body":"` + string(body) + `"}`
	case "sequence":
		return key + string(body)
	case "writable":
		var hexes []string
		for _, c := range body {
			hexes = append(hexes, hex.EncodeToString([]byte{c}))
		}
		return key + strings.Join(hexes, " ")
	}
	return string(body)
}
