//go:build !race

package searchreplace

const racing = false
