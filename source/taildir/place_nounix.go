//go:build !unix

package taildir

import (
	"errors"
	"os"
)

var errNoInodes = errors.New("files have no inode numbers on this system, so that a taildir source cannot know them again")

func stat(string) (info, error) { return info{}, errNoInodes }

func statOpen(*os.File) (info, error) { return info{}, errNoInodes }
