// Package spool is the disk format that front end and runner share (DESIGN 4):
// ids, records, and the files of incoming. The rest of the spool is in package queue.
//
// A file of incoming has a name that is an ID and three parts:
//
//	64 bytes   header: "dma-incoming 1", lengths of the other parts, their CRC-32C
//	envelope   records (record.go): sender, recipients and what else was said
//	message    as it was handed in, with LF line ends
//
// The header is written last, over zero bytes, so that a file whose writer died
// says so, and a flock(2) lock marks one that is still being written. A file
// whose sizes and checksum are right is complete whoever wrote it and whatever
// happened since; no other file is ever delivered, and none is deleted but the
// two that cannot hold a message: one that is zeros up to the end of its header
// (its writer gave it up) and an old unlocked one that was never completed.
//
// No record says who submitted the message: that is the owner of the file.
package spool
