package file

import (
	"os/user"
	"strings"
	"testing"

	"github.com/sluice-io/sluice/flumetest"
)

func TestProblems(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	shared := func(key, dir string) string {
		return "a1.components.x1." + key + ": is " + dir + ", the default of every file channel: two agents on this machine would share it; " +
			"set it to a directory of this channel's own\n"
	}
	for _, x := range []struct {
		name     string
		settings []string
		want     string
	}{
		{"all is well", []string{"checkpointDir = /c", "dataDirs = /d1, /d2"}, ""},
		{"a misspelt directory", []string{"dataDirs = /d", "checkpontDir = /c"},
			"flume.conf:1: " + shared("checkpointDir", u.HomeDir+"/.flume/file-channel/checkpoint") +
				`flume.conf:2: a1.components.x1.checkpontDir: is not a setting; did you mean "checkpointDir"? ` +
				"(which is ~/.flume/file-channel/checkpoint as long as it is not set)\n"},
		{"nothing is set", nil,
			"flume.conf:1: " + shared("checkpointDir", u.HomeDir+"/.flume/file-channel/checkpoint") +
				"flume.conf:1: " + shared("dataDirs", u.HomeDir+"/.flume/file-channel/data")},
		{"no directory", []string{"checkpointDir = /c", "dataDirs = , ,"}, "flume.conf:2: a1.components.x1.dataDirs: names no directory\n"},
		{"too much at once", []string{"checkpointDir = /c", "dataDirs = /d", "capacity = 10"},
			"flume.conf:1: a1.components.x1.transactionCapacity: 10000 events are more than the capacity of the channel, 10; lower transactionCapacity or raise capacity\n"},
		{"sizes that Flume replaces", []string{"checkpointDir = /c", "dataDirs = /d", "capacity = 0", "checkpointInterval = -5"},
			"flume.conf:3: a1.components.x1.capacity: 0 is less than 1; the default 1000000 is taken\n" +
				"flume.conf:4: a1.components.x1.checkpointInterval: -5 is less than 1; the default 30000 is taken\n"},
		{"a size that Flume refuses", []string{"checkpointDir = /c", "dataDirs = /d", "capacity = all"},
			"flume.conf:3: a1.components.x1.capacity: \"all\" is not a number\n"},
		{"two checkpoints without a directory", []string{"checkpointDir = /c", "dataDirs = /d", "useDualCheckpoints = true"},
			"flume.conf:1: a1.components.x1.backupCheckpointDir: is required with useDualCheckpoints = true, and not set\n"},
		{"two checkpoints in one directory", []string{"checkpointDir = /c", "dataDirs = /d", "useDualCheckpoints = true", "backupCheckpointDir = /c"},
			"flume.conf:4: a1.components.x1.backupCheckpointDir: is the checkpointDir; the copy needs a directory of its own\n"},
		{"encryption", []string{"checkpointDir = /c", "dataDirs = /d",
			"encryption.activeKey = key-0", "encryption.cipherProvider = AESCTRNOPADDING", "encryption.keyProvider = JCEKSFILE", "encryption.keyProvider.keyStoreFile = /k", "encryption.keyProvider.keyStorePasswordFile = /p",
			"encryption.keyProvider.keys = key-0 key-1", "encryption.keyProvider.keys.key-0.passwordFile = /p0"}, ""},
		{"encryption of one's own", []string{"checkpointDir = /c", "dataDirs = /d",
			"encryption.activeKey = k", "encryption.cipherProvider = com.acme.Cipher", "encryption.keyProvider = com.acme.Keys"},
			"flume.conf:5: a1.components.x1.encryption.keyProvider: com.acme.Keys is a class of its own, which Sluice cannot run; JCEKSFILE is what it has\n" +
				"flume.conf:4: a1.components.x1.encryption.cipherProvider: com.acme.Cipher is a class of its own, which Sluice cannot run; AESCTRNOPADDING is what it has\n"},
		{"data among the checkpoints", []string{"checkpointDir = /c", "dataDirs = /d, /c/"},
			"flume.conf:2: a1.components.x1.dataDirs: names the checkpointDir; the data files need a directory of their own\n"},
		{"one directory twice", []string{"checkpointDir = /c", "dataDirs = /d, /e, /d/"}, "flume.conf:2: a1.components.x1.dataDirs: names /d twice\n"},
		{"at home", []string{"checkpointDir = ~/c", "dataDirs = /d, ~/d"},
			"flume.conf:1: a1.components.x1.checkpointDir: ~/c is not in your home directory: ~ means nothing here, as in Flume, and the directory is named ~; write the path in full\n" +
				"flume.conf:2: a1.components.x1.dataDirs: ~/d is not in your home directory: ~ means nothing here, as in Flume, and the directory is named ~; write the path in full\n"},
		{"sizes that Flume raises", []string{"checkpointDir = /c", "dataDirs = /d", "checkpointInterval = 10", "minimumRequiredSpace = 5", "compressBackupCheckpoint = true"},
			"flume.conf:5: a1.components.x1.compressBackupCheckpoint: has no effect without useDualCheckpoints = true\n" +
				"flume.conf:3: a1.components.x1.checkpointInterval: 10 is less than 1000, which is taken\n" +
				"flume.conf:4: a1.components.x1.minimumRequiredSpace: 5 is less than 1048576, which is taken\n"},
		{"a key of none", []string{"checkpointDir = /c", "dataDirs = /d",
			"encryption.activeKey = key-2", "encryption.cipherProvider = AESCTRNOPADDING", "encryption.keyProvider = JCEKSFILE",
			"encryption.keyProvider.keyStoreFile = /k", "encryption.keyProvider.keyStorePasswordFile = /p", "encryption.keyProvider.keys = key-0 key-1"},
			"flume.conf:3: a1.components.x1.encryption.activeKey: key-2 is none of encryption.keyProvider.keys, which are key-0, key-1\n"},
		{"a capacity that no checkpoint holds", []string{"checkpointDir = /c", "dataDirs = /d", "capacity = 2147483647"},
			"flume.conf:3: a1.components.x1.capacity: 2147483647 is more than 2147482618, the most it may be\n"},
		{"half of encryption", []string{"checkpointDir = /c", "dataDirs = /d", "encryption.activeKey = key-0"},
			"flume.conf:3: a1.components.x1.encryption.activeKey: is set without encryption.keyProvider\n"},
		{"the other half of encryption", []string{"checkpointDir = /c", "dataDirs = /d", "encryption.keyProvider = jceksfile", "encryption.keyProvider.keys.k.password = x"},
			strings.ReplaceAll("@activeKey!@cipherProvider!@keyProvider.keyStoreFile!@keyProvider.keyStorePasswordFile!@keyProvider.keys!", "@", "flume.conf:1: a1.components.x1.encryption.") +
				"flume.conf:4: a1.components.x1.encryption.keyProvider.keys.k.password: is not a setting; did you mean \"keyProvider.keys.ALIAS.passwordFile\"?\n"},
	} {
		want := strings.ReplaceAll(x.want, "!", ": is required with encryption.keyProvider, and not set\n")
		if got := flumetest.Problems(t, Kind, nil, x.settings...).String(); got != want {
			t.Errorf("%s:\n%s\ninstead of\n%s", x.name, got, want)
		}
	}
}

func TestHome(t *testing.T) {
	sec := flumetest.Section(t, "checkpointDirs = /c", "dataDirs = data")
	sec.Property = func(name string) (string, bool) { return "/srv/flume", name == "user.home" }
	plan, problems := Kind.Bind(sec)
	s := plan.Settings.(*Settings)
	if s.CheckpointDir != "/srv/flume/.flume/file-channel/checkpoint" {
		t.Errorf("the checkpoint is in %s", s.CheckpointDir)
	}
	if !strings.Contains(problems.String(), "(which is /srv/flume/.flume/file-channel/checkpoint as long as it is not set)") {
		t.Error(problems)
	}
	if plan.Limits.TransactionCapacity != 10000 {
		t.Errorf("the transaction capacity is said to be %d", plan.Limits.TransactionCapacity)
	}
}

func TestHolds(t *testing.T) {
	t.Chdir("/")
	sec := flumetest.Section(t, "checkpointDir = c/../c", "dataDirs = /d1/,/d2", "useDualCheckpoints = true", "backupCheckpointDir = /b")
	plan, _ := Kind.Bind(sec)
	got := plan.Settings.(*Settings).Holds()
	want := []string{"dir:///c", "dir:///d1", "dir:///d2", "dir:///b"}
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if string(got[i]) != want[i] {
			t.Errorf("%s instead of %s", got[i], want[i])
		}
	}
}
