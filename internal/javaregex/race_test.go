//go:build race

package javaregex

const racing = true
