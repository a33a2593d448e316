//go:build !linux

package world

// The BSDs keep the signal mask and running timers over exec as well, but
// x/sys has no calls for them. Their callers are trusted to that extent.

func systemDirt() string { return "" }

func cleanSystem() error { return nil }

func systemLimits() []resourceLimit { return nil }
