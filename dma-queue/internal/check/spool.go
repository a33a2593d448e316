package check

import (
	"fmt"
	"os"
	"strings"

	"dma/common/site"
)

// maxCounted bounds how many entries of a directory are counted.
const maxCounted = 10000

// checkSpool looks at the spool's directories (DESIGN 4) and the room for more.
func (c *checker) checkSpool() {
	q, s := site.QueueUser, site.SubmitGroup
	good := true
	for _, n := range []node{
		{path: site.Spool, owner: "root", group: "root", mode: 0o711},
		{path: site.Spool + "/incoming", owner: q, group: s, mode: 0o1730},
		{path: site.Spool + "/queue", owner: q, group: q, mode: 0o700},
		{path: site.Spool + "/failed", owner: q, group: q, mode: 0o700},
		{path: site.Spool + "/run", owner: q, group: s, mode: 0o710},
	} {
		n.directory, n.vital = true, true
		good = c.checkNode(n) && good
	}
	if !good {
		return
	}
	if err := c.space(site.Spool+"/incoming", c.config.MinFree); err != nil {
		c.stop(site.Spool, err.Error(), "make room, or write a smaller MINFREE; until then no mail is taken")
	} else if c.config.MinFree > 0 {
		c.ok(site.Spool, "more than %d%% of its disk is free", c.config.MinFree)
	}
	if !c.isRoot() && !site.Private() {
		c.needsRoot("dead letters")
		return
	}
	if n := count(site.Spool+"/failed", ""); n > 0 {
		c.warn(site.Spool+"/failed", fmt.Sprintf("%d files of mail that could be neither delivered nor returned", n), "mailq lists them; remove those that are not needed, see dma-queue(8)")
	}
	if n := count(site.Spool, "Q"); n > 0 {
		c.warn(site.Spool, fmt.Sprintf("%d messages of an older dma wait in it", n), "run: dma-queue --import "+site.Spool)
	}
}

// count counts the entries of a directory that begin with prefix. What cannot be
// read has none.
func count(path, prefix string) int {
	d, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer d.Close()
	n := 0
	for read := 0; read < maxCounted; {
		names, err := d.Readdirnames(100)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				n++
			}
		}
		read += len(names)
		if err != nil { // or the end
			break
		}
	}
	return n
}
