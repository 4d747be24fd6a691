//go:build !unix

package deadletter

func keepOwner(string) error { return nil }
