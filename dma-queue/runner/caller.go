package main

import (
	"dma/common/maillog"
	"dma/common/passwd"
	"dma/common/site"
	"dma/dma-queue/internal/schedule"
	"dma/proto"
)

// callers makes out who is at the other end of a control connection. Root reaches
// all messages. So does whoever is let into a private build: there is one user only.
func callers(log *maillog.Log) func(*proto.Conn) schedule.Caller {
	return func(c *proto.Conn) schedule.Caller {
		uid, err := c.PeerUID()
		if err != nil {
			log.Problem("control socket", err)
			return schedule.Caller{UID: uid, All: site.Private()}
		}
		caller := schedule.Caller{Known: true, UID: uid, All: uid == 0 || site.Private()}
		if a, err := passwd.LookupUID(site.Passwd, uid); err == nil {
			caller.Login = a.Login
		}
		return caller
	}
}
