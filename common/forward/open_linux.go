package forward

import "golang.org/x/sys/unix"

// dirFlags open a directory that the user can enter, even one they cannot list.
const dirFlags = unix.O_PATH
