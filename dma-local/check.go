package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"dma/common/passwd"
	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-local/internal/mbox"
)

// noUser stands for an account that owns nothing in the mail directory.
const noUser = ^uint32(0)

// check tells a person whether mail can be delivered to the person's mailbox.
func check(stdout, stderr io.Writer) int {
	uid := uint32(os.Getuid())
	a, err := passwd.LookupUID(site.Passwd, uid)
	if err != nil {
		fmt.Fprintf(stderr, "dma-local: look up uid %d in %s: %v\n", uid, site.Passwd, err)
		return 1
	}
	w := mbox.Writer{UID: uid, GID: uint32(os.Getegid())}
	if !site.Private() {
		if w.GID, err = passwd.LookupGroup(groupFile, site.MailGroup); err != nil {
			fmt.Fprintf(stderr, "dma-local: look up group %s in %s: %v\n", site.MailGroup, groupFile, err)
			return 1
		}
		if uid == 0 {
			w.UID = noUser // root's mailbox is not written by root (RULES C9)
		}
	}
	err = newBox(a.Login, uid).Check(w)
	if err == nil {
		fmt.Fprintf(stdout, "Mail for %s is put into %s/%s, unless an alias or ~/.forward sends it elsewhere.\n", a.Login, site.Mail, a.Login)
		return sysexits.OK
	}
	what, remedy := err.Error(), ""
	if p := (*mbox.Problem)(nil); errors.As(err, &p) {
		what, remedy = p.What, p.Remedy
	}
	fmt.Fprintf(stderr, "dma-local: %s\n", what)
	if remedy != "" {
		fmt.Fprintf(stderr, "To repair it: %s\n", remedy)
	}
	fmt.Fprintf(stderr, "Mail for %s waits in the queue until this is put right. None is lost.\n", a.Login)
	return 1
}
