package proto

import "golang.org/x/sys/unix"

// struct sockpeercred (getsockopt(2)): uid, gid, pid.
const (
	peerLevel  = unix.SOL_SOCKET
	peerOption = unix.SO_PEERCRED
	peerOffset = 0
	peerProof  = 8 // pid
)
