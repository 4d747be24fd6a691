package wal

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// quarantined is the name of the file in a quarantine directory.
const quarantined = "quarantine.jsonl"

// Quarantine is an Options.SetAside that keeps what it is given in a directory of its own, outside of Flume's: one line
// of JSON for each damage in quarantine.jsonl, synced before it returns. The directory is made when it is needed.
//
//	{"time":"2026-11-21T14:02:11Z","file":"/d/log-7","offset":1234,"length":97,"reason":"…","bytes":"base64"}
//
// Bytes are at most the first 16 MiB.
func Quarantine(f vfs.FS, dir string) func(Damage) error {
	return func(d Damage) error {
		line, err := json.Marshal(struct {
			Time   time.Time `json:"time"`
			File   string    `json:"file"`
			Offset int64     `json:"offset"`
			Length int64     `json:"length"`
			Reason string    `json:"reason"`
			Bytes  []byte    `json:"bytes"`
		}{time.Now().UTC().Truncate(time.Second), d.Path, d.Offset, d.Length, d.Reason, d.Bytes})
		if err != nil {
			return err
		}
		if err := keep(f, dir, append(line, '\n')); err != nil {
			return fmt.Errorf("writing to the quarantine in %s: %w", dir, err)
		}
		return nil
	}
}

func keep(f vfs.FS, dir string, line []byte) error {
	if err := f.MkdirAll(dir); err != nil {
		return err
	}
	w, err := openOrCreate(f, filepath.Join(dir, quarantined))
	if err != nil {
		return err
	}
	end, err := w.Size()
	if err == nil {
		_, err = w.WriteAt(line, end)
	}
	if err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return f.SyncDir(dir)
}
