package cli

import (
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/internal/logline"
)

// The log file of Flume's log4j.properties up to 1.9.
const (
	logFileSize = 100 << 20
	logFileKeep = 10
)

// logPlan reads -Dflume.root.logger=LEVEL,appender[,appender]: console is stderr; LOGFILE and DAILY are the file of
// flume.log.dir and flume.log.file, which is turned over by size. Without it the console is used, or the file where one
// of its two properties is set.
func logPlan(l *launch) (level slog.Level, appenders []string) {
	dir, file := l.properties["flume.log.dir"], l.properties["flume.log.file"]
	level, appenders = slog.LevelInfo, []string{"console"}
	if dir != "" || file != "" {
		appenders = []string{"logfile"}
	}
	if text := l.properties["flume.root.logger"]; text != "" {
		words := strings.Split(text, ",")
		known := false
		if level, known = logline.ParseLevel(strings.TrimSpace(words[0])); !known {
			l.warn("flume.root.logger=%s: %q is no level; INFO is taken", text, words[0])
		}
		if len(words) > 1 {
			appenders = appenders[:0]
		}
		for _, w := range words[min(1, len(words)):] {
			switch name := strings.ToLower(strings.TrimSpace(w)); name {
			case "console", "logfile":
				appenders = append(appenders, name)
			case "daily":
				appenders = append(appenders, "logfile")
				l.warn("flume.root.logger=%s: the log file is turned over by size, not daily", text)
			default:
				l.warn("flume.root.logger=%s: there is no appender %q; there are console and LOGFILE", text, w)
			}
		}
	}
	return level, appenders
}

// openLog opens what logPlan reads.
func openLog(console io.Writer, l *launch) (log *slog.Logger, closeLog func(), err error) {
	level, appenders := logPlan(l)
	dir, file := l.properties["flume.log.dir"], l.properties["flume.log.file"]
	var outs []io.Writer
	closeLog = func() {}
	if slices.Contains(appenders, "logfile") {
		if dir == "" {
			dir = "logs"
		}
		if file == "" {
			file = "flume.log"
		}
		f, err := logline.Open(filepath.Join(dir, file), logFileSize, logFileKeep)
		if err != nil {
			return nil, nil, err
		}
		// A log file that cannot be closed has nothing more to say.
		closeLog = func() { _ = f.Close() }
		outs = append(outs, f)
	}
	if slices.Contains(appenders, "console") || len(outs) == 0 {
		outs = append(outs, console)
	}
	return slog.New(logline.New(level, outs...)), closeLog, nil
}
