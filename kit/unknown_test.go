package kit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/agent"
	"github.com/sluice-io/sluice/conf"
)

// Class names of users' files: each is refused at its line, with which of three it is, what is nearest, and the ways
// out; the rest of the agent runs.
func TestForeignClasses(t *testing.T) {
	const (
		base = `a1.sources = r1 r2
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = seq
a1.sources.r1.channels = c1
a1.sources.r2.type = seq
a1.sources.r2.channels = c1
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
`
		source      = "a1.sources.r2.type"
		sink        = "a1.sinks.k2.type"
		interceptor = "a1.sources.r2.interceptors.i1.type"
		selector    = "a1.sources.r2.selector.type"
		ownClass    = "is a Java class of your own or of a plugin, not one of Flume's, and Sluice runs no Java"
		likeFlumes  = "is a Java class of your own or of a plugin, not one of Flume's, though it is named like them, and Sluice runs no Java"
		inFlume     = "is in Flume and not in Sluice"
		removed     = "was removed from Flume itself"
	)
	ways := []string{"Flume", "external", "docs/guide/extending.md", "avro"}
	for _, x := range []struct {
		key, typ string
		says     []string
		nearest  string
	}{
		{sink, "com.acme.MySink$Builder", append(ways, ownClass), ""},
		{source, "com.cloudera.flume.source.TwitterSource", []string{inFlume, "Twitter has ended the service"}, ""},
		{source, "TWITTER", []string{inFlume, "Twitter has ended the service"}, ""},
		{source, "org.apache.flume.source.rabbitmq.RabbitMQSource", append(ways, likeFlumes), ""},
		{sink, "org.apache.flume.sink.rabbitmq.RabbitMQSink", append(ways, likeFlumes), ""},
		{sink, "org.apache.flume.sink.s3.FlumeAwsS3", append(ways, likeFlumes), ""},
		{sink, "org.apache.flume.sink.elasticsearch2.ElasticSearchSink", append(ways, likeFlumes), ""},
		{sink, "org.apache.flume.sink.elasticsearch.http.ElasticSearchHTTPSink", append(ways, likeFlumes), ""},
		{sink, "com.acme.flume.KafkaTopicSink", append(ways, ownClass), "type = kafka, the nearest here"},
		{source, "com.acme.MyNetcatSource", append(ways, ownClass), "type = netcat, the nearest here"},
		{interceptor, "org.apache.flume.interceptor.GrokInterceptor$Builder", append(ways, likeFlumes), "type = regex_extractor, the nearest here"},
		{interceptor, "org.apache.flume.interceptor.EventTimestampInterceptor$Builder", append(ways, likeFlumes), "type = timestamp_extractor, the nearest here"},
		{interceptor, "com.acme.LogTimeInterceptor", append(ways, ownClass), "type = timestamp_extractor, the nearest here"},
		{interceptor, "com.acme.ETLFilterInterceptor$MyBuilder", append(ways, ownClass), "type = regex_filter, the nearest here"},
		{interceptor, "multi_static", []string{`there is no interceptor type "multi_static"`, "there are "}, "the nearest is static"},
		{interceptor, "org.apache.flume.sink.solr.morphline.MorphlineInterceptor$Builder", append(ways, inFlume), "regex_extractor, search_replace"},
		{interceptor, "org.apache.flume.interceptor.TimestampInterceptor", []string{`did you mean "org.apache.flume.interceptor.TimestampInterceptor$Builder"?`}, ""},
		{selector, "com.acme.MySelector", []string{ownClass, "an avro source here", "docs/guide/extending.md"}, ""},
		{sink, "elasticsearch", append(ways, removed), ""},
		{sink, "org.apache.flume.sink.kite.DatasetSink", append(ways, removed), ""},
		{sink, "hbase", append(ways, inFlume), ""},
		{sink, "hive", append(ways, inFlume), ""},
		{sink, "org.apache.flume.sink.kudu.KuduSink", append(ways, inFlume), ""},
		{source, "jms", append(ways, inFlume), ""},
		{source, "{{ config['protocol'] }}", []string{"the placeholder of a template that nobody has filled in"}, ""},
		{source, "<%= @source_type %>", []string{"the placeholder of a template that nobody has filled in"}, ""},
	} {
		text := base + x.key + " = " + x.typ + "\n"
		if x.key == interceptor {
			text += "a1.sources.r2.interceptors = i1\n"
		}
		cfg, _, err := conf.Parse("flume.conf", []byte(text), conf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, problems := agent.New(cfg.Agent("a1"), agent.Options{Kit: Standard})
		var found []conf.Problem
		for _, p := range problems {
			if p.Severity == conf.Fatal {
				found = append(found, p)
			}
		}
		if a == nil || len(found) != 1 {
			t.Errorf("%s: %v", x.typ, problems)
			continue
		}
		said := found[0].String()
		if where := fmt.Sprintf("flume.conf:14: %s: ", x.key); !strings.HasPrefix(said, where) {
			t.Errorf("%s: %s does not begin with %s", x.typ, said, where)
		}
		for _, want := range append(x.says, x.nearest) {
			if !strings.Contains(said, want) {
				t.Errorf("%s: %s\nhas no %q", x.typ, said, want)
			}
		}
		if x.nearest == "" && strings.Contains(said, "nearest") && usableLater(x.typ) == "" {
			t.Errorf("%s: %s", x.typ, said)
		}
		if !a.HasSink("k1") {
			t.Errorf("%s keeps the others from running", x.typ)
		}
	}
}

// usableLater is what is nearest to a class once there is such a kind.
func usableLater(typ string) string {
	switch {
	case strings.Contains(typ, "S3"):
		return "hdfs"
	case strings.Contains(typ, "lastic"):
		return "http"
	}
	return ""
}
