// Package file is the channel that keeps its events on disk, in the format of Flume's file channel.
//
// This version of Sluice cannot open it. Its settings are known all the same, so that a file that has one is checked:
// the spelling of every setting, and directories that are left at Flume's default, which all file channels of a user
// share, whatever agent they belong to.
package file

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/flume"
)

// Kind is the file channel.
var Kind = flume.Define[Settings, flume.Channel]("file", "org.apache.flume.channel.file.FileChannel",
	"Keeps events on disk, in Flume's format.", nil).
	Refused("the file channel is not in this version of Sluice; use type = memory meanwhile, which loses its events with the process, or keep this agent in Flume")

// Settings are what a file channel can be told.
type Settings struct {
	CheckpointDir       string
	DataDirs            []string
	Dual                bool
	BackupCheckpointDir string
	CompressBackup      bool
	Capacity            int
	TransactionCapacity int
	CheckpointInterval  time.Duration
	MaxFileSize         int64
	MinimumSpace        int64
	KeepAlive           time.Duration
	ReplayV1            bool
	FastReplay          bool
	CheckpointOnClose   bool
	SyncTransactions    bool
	SyncInterval        time.Duration
	Encryption          encryption
}

// encryption is what stands below encryption.
type encryption struct {
	ActiveKey, CipherProvider, KeyProvider string
	StoreFile, PasswordFile                string
	Keys                                   []string
	KeySettings                            conf.Values
}

// Flume's sizes.
const (
	largestFile = 1623195647 // what a data file has at most, whatever maxFileSize says
	leastSpace  = 1 << 20    // what stays free at least, whatever minimumRequiredSpace says
)

// Declare implements conf.Settings.
func (s *Settings) Declare(d *conf.Decl) {
	home, shown := home(d)
	var dataDirs string
	at := func(name string) (path, text string) {
		return filepath.Join(home, ".flume/file-channel", name), shown + "/.flume/file-channel/" + name
	}
	checkpoint, text := at("checkpoint")
	d.String(&s.CheckpointDir, "checkpointDir", checkpoint, "The directory of the checkpoint, of which each channel needs one of its own.").Default = text
	data, text := at("data")
	d.String(&dataDirs, "dataDirs", data, "The directories of the data files, separated by commas. Each channel needs its own.").Default = text
	d.Bool(&s.Dual, "useDualCheckpoints", false, "Whether a copy of the checkpoint is kept in backupCheckpointDir.")
	d.String(&s.BackupCheckpointDir, "backupCheckpointDir", "", "The directory of the copy; not the checkpointDir.")
	d.Bool(&s.CompressBackup, "compressBackupCheckpoint", false, "Whether the copy is compressed, with snappy.")
	d.Int(&s.Capacity, "capacity", 1000000, "How many events the channel holds at most, those in open transactions among them.").DefaultBelow(1)
	d.TransactionCapacity(&s.TransactionCapacity, "transactionCapacity", 10000, "How many events one transaction takes at most.").DefaultBelow(1)
	d.Millis(&s.CheckpointInterval, "checkpointInterval", 30*time.Second, "How many milliseconds lie between two checkpoints; at least 1000.").DefaultBelow(1)
	d.Int64(&s.MaxFileSize, "maxFileSize", largestFile, "How many bytes a data file has at most; never more than the default.").AtLeast(1)
	d.Int64(&s.MinimumSpace, "minimumRequiredSpace", 500<<20, "How many bytes stay free on a disk; at least 1048576. With less the channel takes no events.")
	d.Seconds(&s.KeepAlive, "keep-alive", 3*time.Second, "How many seconds a put waits for room before the channel counts as full.")
	d.Bool(&s.ReplayV1, "use-log-replay-v1", false, "Whether the data files are replayed in the order of Flume 1.2.")
	d.Bool(&s.FastReplay, "use-fast-replay", false, "Whether to replay without a queue on disk, where there is no checkpoint.")
	d.Bool(&s.CheckpointOnClose, "checkpointOnClose", true, "Whether to write a checkpoint at the end, so that the next start is quick.")
	d.Bool(&s.SyncTransactions, "fsyncPerTransaction", true, "Whether every commit is on disk before it is answered; false also lets damaged records be passed over.")
	d.Seconds(&s.SyncInterval, "fsyncInterval", 5*time.Second, "How many seconds lie between two syncs where commits do not sync.")
	d.Under("encryption.", &s.Encryption)
	d.Check(func() error {
		for dir := range strings.SplitSeq(dataDirs, ",") {
			if dir = strings.TrimSpace(dir); dir != "" {
				s.DataDirs = append(s.DataDirs, dir)
			}
		}
		s.MaxFileSize = min(s.MaxFileSize, largestFile)
		s.MinimumSpace = max(s.MinimumSpace, leastSpace)
		s.CheckpointInterval = max(s.CheckpointInterval, time.Second)
		return errors.Join(s.unshared(checkpoint, dataDirs == data), s.sound())
	})
}

// unshared warns of the directories that are every file channel's default.
func (s *Settings) unshared(checkpoint string, data bool) error {
	const text = "is %s, the default of every file channel: two agents on this machine would share it; set it to a directory of this channel's own"
	var problems []error
	if s.CheckpointDir == checkpoint {
		problems = append(problems, conf.Warn("checkpointDir", fmt.Errorf(text, s.CheckpointDir)))
	}
	if data {
		problems = append(problems, conf.Warn("dataDirs", fmt.Errorf(text, s.DataDirs[0])))
	}
	return errors.Join(problems...)
}

// sound finds what Flume refuses too.
func (s *Settings) sound() error {
	var problems []error
	if s.TransactionCapacity > s.Capacity {
		problems = append(problems, conf.At("transactionCapacity",
			fmt.Errorf("%d events are more than the capacity of the channel, %d; lower transactionCapacity or raise capacity", s.TransactionCapacity, s.Capacity)))
	}
	if len(s.DataDirs) == 0 {
		problems = append(problems, conf.At("dataDirs", errors.New("names no directory")))
	}
	if s.Dual && s.BackupCheckpointDir == "" {
		problems = append(problems, conf.At("backupCheckpointDir", errors.New("is required with useDualCheckpoints = true, and not set")))
	}
	if s.Dual && s.BackupCheckpointDir == s.CheckpointDir {
		problems = append(problems, conf.At("backupCheckpointDir", errors.New("is the checkpointDir; the copy needs a directory of its own")))
	}
	return errors.Join(problems...)
}

// Declare implements conf.Settings.
func (e *encryption) Declare(d *conf.Decl) {
	d.String(&e.ActiveKey, "activeKey", "", "The alias of the key for new data files.")
	d.String(&e.CipherProvider, "cipherProvider", "", "The cipher: AESCTRNOPADDING.")
	d.String(&e.KeyProvider, "keyProvider", "", "Where the keys are: JCEKSFILE. Without it nothing is encrypted.")
	d.String(&e.StoreFile, "keyProvider.keyStoreFile", "", "The file of the key store.")
	d.String(&e.PasswordFile, "keyProvider.keyStorePasswordFile", "", "The file that holds the password of the key store.")
	d.Strings(&e.Keys, "keyProvider.keys", "", "The aliases of all keys that data files may need, separated by blanks.")
	d.Rest(&e.KeySettings, "keyProvider.keys.", "keyProvider.keys.ALIAS.passwordFile: the file that holds the password of a key, where it is not that of the store.")
	d.Check(func() error {
		var problems []error
		need := func(key, value string, needed bool) {
			switch {
			case needed && value == "":
				problems = append(problems, conf.At("encryption."+key, errors.New("is required with encryption.keyProvider, and not set")))
			case !needed && value != "":
				problems = append(problems, conf.At("encryption."+key, errors.New("is set without encryption.keyProvider")))
			}
		}
		on := e.KeyProvider != ""
		need("activeKey", e.ActiveKey, on)
		need("cipherProvider", e.CipherProvider, on)
		if strings.EqualFold(e.KeyProvider, "JCEKSFILE") {
			need("keyProvider.keyStoreFile", e.StoreFile, true)
			need("keyProvider.keyStorePasswordFile", e.PasswordFile, true)
			need("keyProvider.keys", strings.Join(e.Keys, " "), true)
		}
		for _, v := range e.KeySettings {
			if !strings.HasSuffix(v.Key, ".passwordFile") {
				problems = append(problems, conf.Warn("encryption.keyProvider.keys."+v.Key, errors.New("is not a setting; did you mean \"keyProvider.keys.ALIAS.passwordFile\"?")))
			}
		}
		return errors.Join(problems...)
	})
}

// Holds are the directories.
func (s *Settings) Holds() []flume.Endpoint {
	dirs := append([]string{s.CheckpointDir}, s.DataDirs...)
	if s.Dual {
		dirs = append(dirs, s.BackupCheckpointDir)
	}
	held := make([]flume.Endpoint, len(dirs))
	for i, dir := range dirs {
		if absolute, err := filepath.Abs(dir); err == nil {
			dir = absolute
		}
		held[i] = flume.Endpoint("dir://" + filepath.ToSlash(dir))
	}
	return held
}

// home is Java's user.home: what -D says, else what the user data base has, whatever HOME says. Shown is how the manual
// has it.
func home(d *conf.Decl) (dir, shown string) {
	if dir, ok := d.Property("user.home"); ok {
		return dir, dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir, "~"
	}
	return "?", "~" // what Java has for it
}
