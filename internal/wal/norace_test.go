//go:build !race

package wal

const racing = false
