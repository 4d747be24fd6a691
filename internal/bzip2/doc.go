// Package bzip2 writes the format of bzip2.
package bzip2
