# Works with GNU and BSD make. README.md says how to build, HACKING.md how to test.

VERSION       = 0.1

PREFIX        = /usr
SYSCONFDIR    = /etc
LOCALSTATEDIR = /var
SBINDIR       = $(PREFIX)/sbin
BINDIR        = $(PREFIX)/bin
LIBDIR        = $(PREFIX)/lib
LIBEXECDIR    = $(PREFIX)/libexec/dma
MANDIR        = $(PREFIX)/share/man
CONFDIR       = $(SYSCONFDIR)/dma
SPOOLDIR      = $(LOCALSTATEDIR)/spool/dma
MAILDIR       = $(LOCALSTATEDIR)/mail
ALIASES       = $(SYSCONFDIR)/aliases

QUEUE_USER    = _dmaq
SUBMIT_GROUP  = _dmas
REMOTE_USER   = _dmar
MAIL_GROUP    = mail

# For private builds only (scripts/try): with an empty QUEUE_USER the suite runs
# as whoever starts it.
PASSWD        = /etc/passwd
NSSWITCH      = /etc/nsswitch.conf
LOGSOCKET     = /dev/log

DESTDIR       =
# no: install creates no accounts. It does not either when DESTDIR is set.
ACCOUNTS      = yes
BUILD         = build
GO            = go
FUZZTIME      = 30s

S             = -X dma/common/site
LDFLAGS       = -s -w $S.Version=$(VERSION) \
	$S.Libexec=$(LIBEXECDIR) $S.Sbin=$(SBINDIR) $S.Spool=$(SPOOLDIR) $S.Conf=$(CONFDIR) \
	$S.Aliases=$(ALIASES) $S.Mail=$(MAILDIR) \
	$S.QueueUser=$(QUEUE_USER) $S.SubmitGroup=$(SUBMIT_GROUP) $S.RemoteUser=$(REMOTE_USER) \
	$S.MailGroup=$(MAIL_GROUP) \
	$S.Passwd=$(PASSWD) $S.Nsswitch=$(NSSWITCH) $S.LogSocket=$(LOGSOCKET)
GOBUILD       = CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags "$(LDFLAGS)"

# What scripts/install needs to know.
INSTALL       = DESTDIR="$(DESTDIR)" BUILD="$(BUILD)" ACCOUNTS="$(ACCOUNTS)" \
	PREFIX="$(PREFIX)" SBINDIR="$(SBINDIR)" BINDIR="$(BINDIR)" LIBDIR="$(LIBDIR)" \
	LIBEXECDIR="$(LIBEXECDIR)" MANDIR="$(MANDIR)" CONFDIR="$(CONFDIR)" \
	SPOOLDIR="$(SPOOLDIR)" MAILDIR="$(MAILDIR)" QUEUE_USER="$(QUEUE_USER)" \
	SUBMIT_GROUP="$(SUBMIT_GROUP)" REMOTE_USER="$(REMOTE_USER)" MAIL_GROUP="$(MAIL_GROUP)" \
	sh scripts/install

all:
	$(GOBUILD) -o $(BUILD)/ ./dma-queue ./dma-spawn ./dma-forward ./dma-local ./dma-remote ./scripts/mailbox
	$(GOBUILD) -o $(BUILD)/dma-queue-runner ./dma-queue/runner
	@echo '$(LDFLAGS)' > $(BUILD)/flags

# Builds what is installed, so that the paths in it are those it goes to. Where
# root has no Go, what was built before does if it was built for the same paths.
install:
	@if command -v $(GO) >/dev/null; then $(MAKE) all; \
	elif ! echo '$(LDFLAGS)' | cmp -s - $(BUILD)/flags; then \
		echo 'install: run make with the same variables first' >&2; exit 1; fi
	@$(INSTALL) install

install-accounts:
	@$(INSTALL) accounts

uninstall:
	@$(INSTALL) uninstall

try:
	@sh scripts/try

check:
	@sh scripts/check

fuzz:
	@GO="$(GO)" sh scripts/fuzz $(FUZZTIME)

bench:
	$(GO) run ./scripts/bench/frontend
	$(GO) test -run '^$$' -bench . ./...

clean:
	rm -rf $(BUILD)

.PHONY: all install install-accounts uninstall try check fuzz bench clean
