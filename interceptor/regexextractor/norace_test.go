//go:build !race

package regexextractor

const racing = false
