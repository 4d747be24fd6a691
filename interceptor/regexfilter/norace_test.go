//go:build !race

package regexfilter

const racing = false
