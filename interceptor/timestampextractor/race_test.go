//go:build race

package timestampextractor

const racing = true
