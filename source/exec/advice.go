package exec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sluice-io/sluice/conf"
	"github.com/sluice-io/sluice/internal/child"
)

// advice says of a command what its author may not know.
func (s *Settings) advice() error {
	return errors.Join(s.unread(), s.tail())
}

// unread warns of what a shell would understand, where there is none, and of a shell that is not told what it gets.
func (s *Settings) unread() error {
	shell := child.Args("", s.Shell)
	if len(shell) == 1 && slices.Contains([]string{"sh", "bash", "dash", "ksh", "zsh"}, path.Base(shell[0])) {
		return conf.Warn("shell", fmt.Errorf("%s takes the command as the name of a file; to have it run as a command, write %s -c", s.Shell, s.Shell))
	}
	if len(shell) > 0 {
		return nil
	}
	for _, word := range child.Args("", s.Command)[1:] {
		if isShells(word) {
			return conf.Warn("command", fmt.Errorf("without a shell %s is handed to the program as it stands; if a shell is to read it, set shell = /bin/sh -c", word))
		}
	}
	return nil
}

// isShells reports whether a word means something to a shell that a program is not meant to see.
func isShells(word string) bool {
	switch {
	case slices.Contains([]string{"|", "||", "&&", "&", ";", "<", ">", ">>", "2>", "2>&1", "&>"}, word):
		return true
	case strings.HasPrefix(word, ">") || strings.HasPrefix(word, "2>"), strings.HasSuffix(word, ";"):
		return true
	case strings.HasPrefix(word, `"`), strings.HasPrefix(word, "'"), strings.Contains(word, "`"), strings.Contains(word, "$("):
		return true
	case strings.Contains(word, "/") && strings.ContainsAny(word, "*?"), strings.HasPrefix(word, "~/"):
		return true
	}
	at := strings.IndexByte(word, '$')
	return at >= 0 && at+1 < len(word) && (word[at+1] == '{' || word[at+1] == '_' || word[at+1] >= 'A' && word[at+1] <= 'Z')
}

// tail offers a taildir source for a command that follows files.
func (s *Settings) tail() error {
	files, by, more := followed(child.Args("", s.Command))
	if len(files) == 0 {
		return nil
	}
	var groups, names []string
	for i, file := range files {
		name := fmt.Sprintf("f%d", i+1)
		names = append(names, name)
		groups = append(groups, fmt.Sprintf("filegroups.%s = %s", name, pattern(file)))
	}
	text := fmt.Sprintf("what is written while the agent is away is not read; a taildir source goes on where it was: type = TAILDIR, filegroups = %s, %s, positionFile = a file of its own",
		strings.Join(names, " "), strings.Join(groups, ", "))
	if by == "-f" {
		text = "tail -f stops when the file is rotated, tail -F goes on; " + text
	}
	if more {
		text += "; what the command does with the lines is for interceptors, such as regex_filter"
	}
	return conf.Advise("command", errors.New(text))
}

// followed finds the files that a tail command follows, by which option, and whether more is done with the lines.
func followed(words []string) (files []string, by string, more bool) {
	at := slices.IndexFunc(words, func(w string) bool { return path.Base(w) == "tail" })
	if at < 0 || slices.ContainsFunc(words[:at], func(w string) bool { return path.Base(w) != "sudo" && !strings.HasPrefix(w, "-") }) {
		return nil, "", false
	}
	count := false // the word is the number of an option
	for _, word := range words[at+1:] {
		switch {
		case isShells(word) && !strings.Contains(word, "/"):
			more = true
		case count:
			count = false
			continue
		case strings.HasPrefix(word, "--follow"), word == "--retry":
			by = "-F"
			continue
		case strings.HasPrefix(word, "-"), strings.HasPrefix(word, "+"):
			for _, follow := range []string{"f", "F"} {
				if !strings.HasPrefix(word, "--") && strings.Contains(word, follow) {
					by = "-" + follow
				}
			}
			count = slices.Contains([]string{"-n", "-c", "-s", "--lines", "--bytes", "--pid", "--sleep-interval"}, word)
			continue
		default:
			files = append(files, strings.Trim(word, `"'`))
		}
		if more {
			break
		}
	}
	if by == "" {
		return nil, "", false
	}
	return files, by, more
}

// pattern is a file as taildir wants it in a configuration file: its last part is a Java pattern, and a backslash is
// written twice.
func pattern(file string) string {
	dir, name := path.Split(file)
	return dir + strings.NewReplacer(".", `\\.`, "*", ".*", "?", ".", "+", `\\+`, "(", `\\(`, ")", `\\)`, "$", `\\$`, "[", `\\[`).Replace(name)
}
