// Package durable is how the suite writes what must survive a crash or a power
// cut. It has one primitive (DESIGN 4): create exclusively, write, sync, give the
// file its name, sync the directory. Every step is checked, and a test can make
// each of them fail.
//
// What is there after the power went, by the last step that returned:
//
//	Create            nothing, or a file of any length up to what was written
//	Write, WriteAt    the same; blocks may be there in any order, zero or torn
//	Sync of the file  all bytes; the name too on the file systems named below
//	Rename            either name, with all bytes if the file was synced before
//	Sync of the dir   all bytes, under the new name
//	Remove            the file or no file
//	Sync of the dir   no file
//
// After a crash of the process alone, everything that returned is there.
// So whoever reads must tell a complete file from a torn one by what is in it,
// and nobody may be told that a thing is safe before Commit, or Sync of the
// directory, has returned. After an error of Sync nothing is known about the
// file, and trying again would not tell: it must be given up.
//
// # A directory that may not be read
//
// The spool's incoming is open to its group for making files, not for listing
// them (mode 1730). A front end with that group cannot open it for reading, and
// so cannot sync it. It does not have to: it makes its file under the final
// name, and the sync of a newly made file makes its name durable as well on ext4,
// xfs, btrfs and f2fs (their log commits the inode together with the entry that
// made it; scripts/system has the power-cut test), on UFS with soft updates (the
// sync of a file writes the directory entries that it depends on) and on ZFS (the
// intent log holds the creation in front of the data). It would not do after a
// Rename or Remove. Sync of such a directory does nothing; where it can be
// opened, that is in a private build or called by root, it is synced.
package durable
