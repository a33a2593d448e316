package proto

// struct unpcbid (unix(4)): pid, euid, egid.
const (
	peerLevel  = 0 // SOL_LOCAL
	peerOption = 3 // LOCAL_PEEREID
	peerOffset = 4
	peerProof  = 0 // pid
)
