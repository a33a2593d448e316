// Package proto is the channel between the programs of the suite: typed,
// bounded messages over a Unix SOCK_SEQPACKET socketpair, each of which may
// carry one file descriptor (DESIGN 5, RULES B4, B5).
//
// A message is one packet: a header of 12 bytes, then the fields of its type in
// a fixed order, integers big-endian, strings and lists with a length in front.
// Decoding is total. A packet that is not exactly one message that the receiver
// accepts in its present state, with exactly the descriptor that its type
// announces, is an error, and after an error the channel is of no more use:
// the caller closes it and defers what was under way.
//
// The package links the standard library without package net, and
// golang.org/x/sys; sockets wait in the runtime poller, so a goroutine that
// waits for a message costs no thread.
package proto
