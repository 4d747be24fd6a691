//go:build race

package regexfilter

const racing = true
