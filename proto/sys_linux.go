package proto

import "golang.org/x/sys/unix"

const recvFlags = unix.MSG_CMSG_CLOEXEC

func closeOnExec(int) {} // recvFlags did it

// badFlags are flags that a message's descriptor must not have: an O_PATH
// descriptor says nothing of what its sender may read.
const badFlags = unix.O_PATH
