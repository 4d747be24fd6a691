package hdfs

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-io/sluice/internal/escape"
	"github.com/sluice-io/sluice/internal/hdfs"
)

// login is who the sink says it is, nil without Kerberos, and what ends it. Where the Hadoop configuration asks for
// Kerberos and no principal is set, the tickets are those of the process's user, which somebody else keeps fresh.
func (s *Settings) login(ctx context.Context, c *hdfs.Conf) (hdfs.Login, func(), error) {
	if s.principal == "" && !strings.EqualFold(c.Get("hadoop.security.authentication", "simple"), "kerberos") {
		return nil, func() {}, nil
	}
	principal := s.principal
	if user, realm, ok := strings.Cut(principal, "_HOST"); ok {
		principal = user + strings.ToLower(escape.LocalHost(ctx).FQDN) + realm
	}
	k, err := hdfs.NewKerberos(hdfs.KerberosOptions{Principal: principal, KeyTab: s.keytab, Protections: c.Strings("hadoop.rpc.protection")})
	if err != nil {
		return nil, nil, fmt.Errorf("logging in by Kerberos: %w", err)
	}
	return k, k.Close, nil
}
