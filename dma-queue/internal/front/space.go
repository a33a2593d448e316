package front

import (
	"fmt"

	"dma/common/sysexits"
)

// CheckSpace makes sure that percent of the blocks and of the inodes of the disk
// that path is on are free (RULES A9): a spool that runs full cannot even bounce.
func CheckSpace(path string, percent int) error { return checkRoom(path, percent, 0) }

// checkRoom makes sure that they are still free when a message of size bytes has come.
func checkRoom(path string, percent int, size int64) error {
	if percent <= 0 && size == 0 {
		return nil
	}
	s, block, err := diskSpace(path)
	if err != nil {
		return failf(exitCode(err, sysexits.CantCreat), "look for free space on %s: %w", path, err)
	}
	needs := uint64(size) / max(block, 1)
	if needs > s.freeBlocks {
		return failf(sysexits.TempFail, "%s: the spool's disk has no room for %d bytes", path, size)
	}
	s.freeBlocks -= needs
	if err := s.check(percent); err != nil {
		return failf(sysexits.TempFail, "%s: %w", path, err)
	}
	return nil
}

// space is what statfs says, for users other than root.
type space struct {
	blocks, freeBlocks uint64
	inodes, freeInodes uint64 // 0 where there is no limit of them
}

func (s space) check(percent int) error {
	const wanted = "the spool's disk has less than %d%% of its %s free (MINFREE)"
	if less(s.freeBlocks, s.blocks, percent) {
		return fmt.Errorf(wanted, percent, "blocks")
	}
	if less(s.freeInodes, s.inodes, percent) {
		return fmt.Errorf(wanted, percent, "inodes")
	}
	return nil
}

func less(free, all uint64, percent int) bool {
	return float64(free)*100 < float64(all)*float64(percent)
}
