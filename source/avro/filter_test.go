package avro

import (
	"context"
	"net"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	f := func(text, addr string, want bool) {
		t.Helper()
		rs, err := parseRules(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := rs.allow(context.Background(), &net.TCPAddr{IP: net.ParseIP(addr)}); got != want {
			t.Errorf("%s: %s: %v", text, addr, got)
		}
	}
	f("allow:ip:127.*,deny:ip:*", "127.0.0.1", true)
	f("allow:ip:127.*,deny:ip:*", "10.0.0.1", false)
	f("deny:ip:10.0.0.1", "10.0.0.1", false)
	f("deny:ip:10.0.0.1", "10.0.0.2", true) // no rule fits
	f("deny:ip:10.0.0.1", "10.0.0.11", true)
	f("deny:ip:10.0.0.1", "10.0.0x1", false) // no address at all
	f("deny:ip:10.0.0.?", "10.0.0.7", false)
	f("deny:ip:10.0.0.?", "10.0.0.77", true)
	f(" deny:ip:10.* , allow:ip:10.1.* ", "10.1.1.1", false) // the first decides
	f("allow:ip:10.1.*,deny:ip:10.*,", "10.1.1.1", true)
	f("deny:ip:10.0.0.(1|2)", "10.0.0.2", false)
	f("deny:ip:10.0.0.[5-7]", "10.0.0.6", false)
	f("deny:ip:0:0:0:0:0:0:0:1", "::1", false) // Java's way
	f("deny:ip:::1", "::1", false)
	f("deny:ip:2001:db8:*", "2001:db8::7", false)
	f("deny:ip:1.2.3.4", "::ffff:1.2.3.4", false)
	f("deny:name:localhost", "127.0.0.1", false)
	f("deny:name:localhost", "192.0.2.1", true)

	bad := func(text, want string) {
		t.Helper()
		if rs, err := parseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", text, rs, err)
		}
	}
	for _, text := range []string{"", "allow", "allow:ip", "allow:ip:", "ALLOW:ip:*", "permit:ip:*", "allow:host:*", "allow :ip:*", "deny:ip:1,,deny:ip:2"} {
		bad(text, "is no rule")
	}
	bad("allow:ip:[", "a pattern that cannot be read")
}

func FuzzRules(f *testing.F) {
	f.Add("allow:ip:127.*,deny:name:localhost", "127.0.0.1")
	f.Fuzz(func(t *testing.T, text, addr string) {
		rs, err := parseRules(text)
		if err != nil || strings.Contains(text, "name") {
			return
		}
		rs.allow(context.Background(), &net.TCPAddr{IP: net.ParseIP(addr)})
	})
}
