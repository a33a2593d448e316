//go:build !linux

package mbox

func addSystemRoles(map[string]func([]string) error) {}
