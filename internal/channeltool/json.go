package channeltool

import (
	"encoding/json"
	"io"
	"time"

	"github.com/sluice-io/sluice/internal/vfs"
)

// The JSON of inspect and verify.
type (
	jsonFindings struct {
		CheckpointDir string         `json:"checkpointDir"`
		BackupDir     string         `json:"backupCheckpointDir,omitempty"`
		DataDirs      []string       `json:"dataDirs"`
		Sound         bool           `json:"sound"`
		Whole         bool           `json:"everythingRead"`
		InUse         []jsonProcess  `json:"inUse"`
		Capacity      int            `json:"capacity"`
		Events        int64          `json:"events"`
		Unreadable    int64          `json:"unreadableEvents"`
		Void          int64          `json:"voidEvents"`
		Doubtful      int            `json:"doubtfulEvents"`
		Uncommitted   int            `json:"uncommittedTransactions"`
		Bodies        int64          `json:"bodyBytes"`
		Headers       int64          `json:"headerBytes"`
		Stamped       int64          `json:"eventsWithTimestamp"`
		Oldest        *time.Time     `json:"oldest"`
		Newest        *time.Time     `json:"newest"`
		Checkpoint    *jsonStart     `json:"checkpoint"`
		Replay        jsonReplay     `json:"replay"`
		Files         []jsonFile     `json:"files"`
		Damage        []jsonDamage   `json:"damage"`
		Unlisted      int64          `json:"damageNotListed"`
		Locked        []string       `json:"wrongKey"`
		Torn          []jsonDamage   `json:"cutOff"`
		Missing       map[string]int `json:"missingFiles"`
		Strange       map[string]int `json:"lostInFiles"`
		Notes         []string       `json:"notes"`
	}
	jsonProcess struct {
		PID     int    `json:"pid"`
		Command string `json:"command"`
		File    string `json:"file"`
	}
	jsonStart struct {
		Path     string `json:"path"`
		Version  int    `json:"version"`
		Order    int64  `json:"writeOrder"`
		Capacity int    `json:"capacity"`
		Events   int    `json:"events"`
		Open     int    `json:"openTransactions"`
	}
	jsonReplay struct {
		Bytes   int64   `json:"bytes"`
		Records int64   `json:"records"`
		Seconds float64 `json:"seconds"`
	}
	jsonFile struct {
		Path      string `json:"path"`
		Version   int    `json:"version"`
		Size      int64  `json:"size"`
		Data      int64  `json:"dataEnd"`
		Start     int64  `json:"replayFrom"`
		Key       string `json:"key,omitempty"`
		Live      int    `json:"liveEvents"`
		Puts      int64  `json:"puts"`
		Takes     int64  `json:"takes"`
		Commits   int64  `json:"commits"`
		Rollbacks int64  `json:"rollbacks"`
		Damaged   int    `json:"damaged"`
		Torn      bool   `json:"cutOff"`
	}
	jsonDamage struct {
		Path   string `json:"path"`
		Offset int64  `json:"offset"`
		Length int64  `json:"length"`
		Reason string `json:"reason"`
		Event  bool   `json:"event"`
	}
)

// JSON prints the findings for a program.
func (x *Findings) JSON(w io.Writer) error {
	r := x.Report
	j := jsonFindings{
		CheckpointDir: x.Options.CheckpointDir, BackupDir: x.Options.BackupDir, DataDirs: x.Options.DataDirs,
		Sound: x.Sound(), Whole: x.Depth == Everything, InUse: []jsonProcess{}, Capacity: x.Options.Capacity,
		Events: x.Events, Unreadable: x.Unreadable, Void: x.Void, Doubtful: r.Doubtful, Uncommitted: r.Uncommitted,
		Bodies: x.Bodies, Headers: x.Headers, Stamped: x.Times.Stamped,
		Replay: jsonReplay{r.Bytes, r.Records, r.Elapsed.Seconds()},
		Files:  []jsonFile{}, Damage: []jsonDamage{}, Unlisted: x.Unlisted, Locked: append([]string{}, x.Locked...), Torn: []jsonDamage{},
		Missing: r.Missing, Strange: r.Strange, Notes: append([]string{}, r.Notes...),
	}
	for _, p := range x.Users {
		j.InUse = append(j.InUse, jsonOf(p))
	}
	if x.Times.Stamped > 0 {
		j.Oldest, j.Newest = &x.Times.Oldest, &x.Times.Newest
	}
	if c := r.From; c != nil {
		j.Checkpoint = &jsonStart{c.Path, c.Version, c.Order, c.Capacity, c.Events, c.Open}
	}
	for i := range r.Files {
		f := &r.Files[i]
		j.Files = append(j.Files, jsonFile{f.Path, f.Version, f.Size, f.Data, f.Start, f.Key, f.Live, f.Puts, f.Takes, f.Commits, f.Rollback, len(f.Damaged), f.Torn})
	}
	for _, d := range x.Damage {
		j.Damage = append(j.Damage, jsonDamage{d.Path, d.Offset, d.Length, d.Reason, d.Event})
	}
	for _, d := range r.Torn {
		j.Torn = append(j.Torn, jsonDamage{d.Path, d.Offset, d.Length, d.Reason, false})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(&j)
}

func jsonOf(p vfs.Process) jsonProcess { return jsonProcess{p.PID, p.Command, p.File} }
