package main

import (
	"errors"
	"fmt"
	"os"

	"dma/common/site"
	"dma/common/sysexits"
	"dma/dma-queue/internal/front"
	"dma/dma-queue/internal/oldspool"
)

// importSpool takes over the spool of an old dma, by default the one that had our
// place. It stays root, as the files are those of many users, and hands each of
// them to this program run as that user.
func importSpool(o front.Options) error {
	dir := site.Spool
	if len(o.Args) > 0 {
		dir = o.Args[0]
	}
	im := &oldspool.Importer{Program: site.Sbin + "/dma-queue", GID: -1, Stdout: os.Stdout, Stderr: os.Stderr}
	if !site.Private() {
		if os.Getuid() != 0 {
			return &front.Failure{Code: sysexits.NoPerm, Err: errors.New("--import: the old spool is other people's mail; only root can import it")}
		}
		gid, err := submitGroup()
		if err != nil {
			return err
		}
		im.GID = int(gid)
	}
	res, err := im.Import(dir)
	if err != nil {
		return &front.Failure{Code: sysexits.NoInput, Err: fmt.Errorf("import: %w", err)}
	}
	if res.Imported > 0 {
		if err := front.Wake(); err != nil {
			warn("wake queue runner", err)
		}
	}
	fmt.Printf("imported from the spool of an old dma in %s: %d\n", dir, res.Imported)
	if res.Left > 0 {
		return &front.Failure{Code: sysexits.TempFail, Err: fmt.Errorf("%d left in %s; put right what is said about them and run: dma-queue --import %s", res.Left, dir, dir)}
	}
	return nil
}
