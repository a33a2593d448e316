package proto

// struct xucred (unix(4)): version, uid, number of groups (16 bits), groups.
const (
	peerLevel  = 0 // SOL_LOCAL
	peerOption = 1 // LOCAL_PEERCRED
	peerOffset = 4
	peerProof  = 8 // the number of groups, of which each has one, and padding
)
