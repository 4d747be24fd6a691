package file

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/jceks"
	"github.com/sluice-io/sluice/internal/wal"
)

// The one key provider and the one cipher that Flume has.
const (
	keyStoreFile = "JCEKSFILE"
	aesCounter   = "AESCTRNOPADDING"
)

// encryption is what stands below encryption.
type encryption struct {
	ActiveKey, CipherProvider, KeyProvider string
	StoreFile, PasswordFile                string
	Keys                                   []string
	KeySettings                            conf.Values
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
		if on && !strings.EqualFold(e.KeyProvider, keyStoreFile) {
			problems = append(problems, conf.At("encryption.keyProvider", fmt.Errorf("%s is a class of its own, which Sluice cannot run; %s is what it has", e.KeyProvider, keyStoreFile)))
		}
		if e.CipherProvider != "" && !strings.EqualFold(e.CipherProvider, aesCounter) {
			problems = append(problems, conf.At("encryption.cipherProvider", fmt.Errorf("%s is a class of its own, which Sluice cannot run; %s is what it has", e.CipherProvider, aesCounter)))
		}
		if strings.EqualFold(e.KeyProvider, keyStoreFile) {
			need("keyProvider.keyStoreFile", e.StoreFile, true)
			need("keyProvider.keyStorePasswordFile", e.PasswordFile, true)
			need("keyProvider.keys", strings.Join(e.Keys, " "), true)
			if e.ActiveKey != "" && len(e.Keys) > 0 && !slices.ContainsFunc(e.Keys, func(k string) bool { return strings.EqualFold(k, e.ActiveKey) }) {
				problems = append(problems, conf.At("encryption.activeKey", fmt.Errorf("%s is none of encryption.keyProvider.keys, which are %s", e.ActiveKey, strings.Join(e.Keys, ", "))))
			}
		}
		for _, v := range e.KeySettings {
			if !strings.HasSuffix(v.Key, ".passwordFile") {
				problems = append(problems, conf.Warn("encryption.keyProvider.keys."+v.Key, errors.New("is not a setting; did you mean \"keyProvider.keys.ALIAS.passwordFile\"?")))
			}
		}
		return errors.Join(problems...)
	})
}

// Options are how the log of the channel is opened, with its keys. Log is told what is odd about them. Who opens it for
// writing adds a SetAside that keeps things in QuarantineDir.
func (s *Settings) Options(log *slog.Logger) (wal.Options, error) {
	o := wal.Options{
		CheckpointDir: s.CheckpointDir, DataDirs: s.DataDirs, CompressBackup: s.CompressBackup,
		Capacity: s.Capacity, MaxFileSize: s.MaxFileSize,
		SyncTakes: s.SyncTakes, Cache: s.Cache, Strict: s.Corruption == strict, Sequential: s.ReplayV1,
	}
	if s.Dual {
		o.BackupDir = s.BackupCheckpointDir
	}
	if s.Encryption.KeyProvider != "" {
		keys, err := s.Encryption.open(log)
		if err != nil {
			return o, err
		}
		o.Keys, o.ActiveKey = keys, s.Encryption.ActiveKey
	}
	return o, nil
}

// keys are those of a key store.
type keys struct {
	store    *jceks.Store
	password string
	own      map[string]string // passwords of keys that have their own
	known    map[string][]byte // to unseal a key takes a tenth of a second and more
}

// Key implements wal.Keys.
func (k *keys) Key(alias string) ([]byte, error) {
	if key, ok := k.known[alias]; ok {
		return key, nil
	}
	password, ok := k.own[alias]
	if !ok {
		password = k.password
	}
	key, err := k.store.Key(alias, password)
	if err == nil {
		k.known[alias] = key
	}
	return key, err
}

func (e *encryption) open(log *slog.Logger) (*keys, error) {
	b, err := os.ReadFile(e.StoreFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key store: %w", err)
	}
	k := &keys{own: map[string]string{}, known: map[string][]byte{}}
	if k.password, err = password(e.PasswordFile); err != nil {
		return nil, fmt.Errorf("reading the password of the key store: %w", err)
	}
	if k.store, err = jceks.Open(b, k.password); err != nil {
		return nil, fmt.Errorf("opening the key store %s: %w", e.StoreFile, err)
	}
	for _, v := range e.KeySettings {
		alias, ok := strings.CutSuffix(v.Key, ".passwordFile")
		if !ok {
			continue
		}
		own, err := password(v.Text)
		switch {
		case errors.Is(err, fs.ErrNotExist): // Flume goes on too
			log.Warn("the password file of a key is not there; the password of the key store is taken", "key", alias, "file", v.Text)
		case err != nil:
			return nil, fmt.Errorf("reading the password of the key %s: %w", alias, err)
		default:
			k.own[alias] = own
		}
	}
	for _, alias := range e.Keys {
		if _, err := k.Key(alias); err != nil {
			return nil, fmt.Errorf("reading the key %s from %s: %w", alias, e.StoreFile, err)
		}
	}
	return k, nil
}

func password(file string) (string, error) {
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)), err
}
