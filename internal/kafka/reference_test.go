package kafka

import (
	flags "flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flags.Bool("update", false, "write the page of Kafka properties anew")

// The page says what the table says.
func TestReference(t *testing.T) {
	const page = "../../docs/reference/kafka-properties.md"
	want := reference()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says; go test ./internal/kafka -update writes it", page)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Kafka properties

What Kafka's Java clients take below ` + "`kafka.consumer.`" + ` (source, channel) and ` + "`kafka.producer.`" + ` (sink, channel), and what each does in Sluice.
A property without effect is a warning at its line, and so is one that is in no table here; a value that cannot be read is
an error of the component. Settings of the components themselves are in ` + "`sluice help kafka-source`" + `,
` + "`sluice help kafka-sink`" + ` and ` + "`sluice help kafka-channel`" + `.

This page is made from the table in internal/kafka.
`)
	section := func(title string, list []Property) {
		fmt.Fprintf(&b, "\n## %s\n\n| property | default | what it does |\n| --- | --- | --- |\n", title)
		var none []Property
		for _, p := range list {
			if p.None != "" {
				none = append(none, p)
				continue
			}
			doc := p.Doc
			if p.Secret {
				doc += " Never shown."
			}
			standard := ""
			if p.Default != "" {
				standard = "`" + p.Default + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, standard, cell(doc))
		}
		if len(none) == 0 {
			return
		}
		b.WriteString("\nWithout effect:\n\n| property | why |\n| --- | --- |\n")
		for _, p := range none {
			fmt.Fprintf(&b, "| `%s` | %s |\n", p.Name, cell(p.None))
		}
	}
	section("Both clients", append(commonProperties(), ignoredProperties()...))
	section("Encryption and login", securityProperties())
	section("Consumer", consumerProperties())
	section("Producer", producerProperties())
	return b.String()
}

// cell is text in a table of Markdown.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
