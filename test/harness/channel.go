package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// FileChannel are the settings of a file channel in dir, where the tool of test/peers finds it too: its checkpoint in
// dir/checkpoint, its backup, if it has one, in dir/backup, its data in dir/data or in the dirs given.
func FileChannel(dir string, data []string, more ...[2]string) [][2]string {
	if len(data) == 0 {
		data = []string{"data"}
	}
	var dirs []string
	for _, d := range data {
		dirs = append(dirs, filepath.Join(dir, d))
	}
	return append([][2]string{
		{"type", "file"},
		{"checkpointDir", filepath.Join(dir, "checkpoint")},
		{"backupCheckpointDir", filepath.Join(dir, "backup")},
		{"dataDirs", strings.Join(dirs, ",")},
		{"minimumRequiredSpace", "1048576"},
	}, more...)
}

// ChannelKeys makes a JCEKS store in dir, as keytool does, with the keys key-0 and key-1, and returns the settings of a
// file channel that encrypts with the first. The keys have other passwords than the store.
func ChannelKeys(t testing.TB, dir string) [][2]string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const storePassword = "keyStorePassword"
	secrets := map[string]string{"store": storePassword}
	store := filepath.Join(dir, "keystore.jceks")
	const provider = "encryption.keyProvider"
	settings := [][2]string{
		{"encryption.activeKey", "key-0"},
		{"encryption.cipherProvider", "AESCTRNOPADDING"},
		{provider, "JCEKSFILE"},
		{provider + ".keyStoreFile", store},
		{provider + ".keyStorePasswordFile", filepath.Join(dir, "store.password")},
		{provider + ".keys", "key-0 key-1"},
	}
	for i := range 2 {
		alias := fmt.Sprintf("key-%d", i)
		secrets[alias] = alias + "-password"
		if err := keytool(t.Context(), "-genseckey", "-alias", alias, "-keyalg", "AES", "-keysize", "128", "-keystore", store,
			"-storetype", "JCEKS", "-storepass", storePassword, "-keypass", secrets[alias]); err != nil {
			t.Fatal(err)
		}
		settings = append(settings, [2]string{provider + ".keys." + alias + ".passwordFile", filepath.Join(dir, alias+".password")})
	}
	for name, secret := range secrets {
		if err := os.WriteFile(filepath.Join(dir, name+".password"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return settings
}

// ToolArgs are settings of a file channel as the tool of test/peers takes them.
func ToolArgs(settings [][2]string) []string {
	var args []string
	for _, kv := range settings {
		if kv[0] != "type" {
			args = append(args, kv[0]+"="+kv[1])
		}
	}
	return args
}

var complaint = regexp.MustCompile(`(?m)^.* (ERROR|FATAL) .*$`)

// Errors are the lines of the agent's log that say ERROR.
func (a *Agent) Errors(t testing.TB) []string {
	t.Helper()
	return complaint.FindAllString(a.Log(t), -1)
}
