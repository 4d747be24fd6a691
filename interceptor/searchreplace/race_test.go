//go:build race

package searchreplace

const racing = true
