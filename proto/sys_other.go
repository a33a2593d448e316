//go:build !linux

package proto

import "golang.org/x/sys/unix"

const recvFlags = 0

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

const badFlags = 0
