package kafka

import (
	"errors"
	"fmt"
)

// longestTopic is Kafka's limit for a topic's name.
const longestTopic = 249

// CheckTopic refuses a name that no topic can have.
func CheckTopic(name string) error {
	switch {
	case name == "":
		return errors.New("a topic's name is empty")
	case len(name) > longestTopic:
		return fmt.Errorf("%.40q… is no topic: its name has %d bytes, %d at most", name, len(name), longestTopic)
	case name == "." || name == "..":
		return fmt.Errorf("%q is no topic", name)
	}
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return fmt.Errorf("%q is no topic: its name may have letters, digits, . _ and -", name)
	}
	return nil
}
