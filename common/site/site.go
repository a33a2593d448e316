// Package site holds what is fixed when the suite is linked: its paths and its
// accounts. The Makefile sets each variable with -ldflags -X; nothing else may
// assign one (a test looks). No installed program takes a path from an option,
// the environment or the network (RULES B1), so this is the only place that
// knows where the suite lives.
package site

// Paths and accounts of an installation. The values here are those of a Debian package.
var (
	// Version is what dma calls itself in Received: fields, bounces and the log.
	Version = "devel"

	// Libexec holds dma-spawn and the programs that it starts.
	Libexec = "/usr/libexec/dma"
	// Sbin holds dma-queue.
	Sbin = "/usr/sbin"
	// Spool holds incoming, queue, failed and run (DESIGN 4).
	Spool = "/var/spool/dma"
	// Conf holds dma.conf and auth.conf.
	Conf = "/etc/dma"
	// Aliases is the alias file unless dma.conf names another.
	Aliases = "/etc/aliases"
	// Mail holds one mbox per login.
	Mail = "/var/mail"

	// QueueUser owns the queue; a group of the same name belongs to it. Empty in
	// a private build, see Private.
	QueueUser = "_dmaq"
	// SubmitGroup may create files in incoming and start dma-spawn.
	SubmitGroup = "_dmas"
	// RemoteUser runs dma-remote and may read auth.conf; with a group of the same name.
	RemoteUser = "_dmar"
	// MailGroup may write in the mail directory.
	MailGroup = "mail"

	// Passwd, Nsswitch and LogSocket differ from the system's in private builds only.
	Passwd    = "/etc/passwd"
	Nsswitch  = "/etc/nsswitch.conf"
	LogSocket = "/dev/log"
)

// Private reports whether this is a private build: one with no accounts of its
// own, in which every program runs as the one user who starts it (DESIGN 1,
// rootless mode).
func Private() bool { return QueueUser == "" }
