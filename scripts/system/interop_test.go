//go:build system

package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"dma/scripts/machine"
)

// Packages of the servers, and of the libraries that a machine may lack.
var serverPackages = []string{
	"postfix", "exim4-base", "exim4-daemon-light", "opensmtpd",
	"libdb5.3", "libevent-2.1-7", "libgnutls-dane0", "libicu72", "libidn12", "libnsl2", "libpcre2-8-0", "libsasl2-2", "libunbound8",
}

// interopDir has what the servers need and what they are given.
const interopDir = "/var/tmp/interop"

const interopMessages = 1000

// A server is a mail server that people have as a smarthost. Its scripts are for sh.
type server struct {
	files map[string]string
	setup string // once, as root
	run   string // in the foreground
	stop  string // if a signal does not do
	// complaints are lines of its log that say that a client has erred.
	complaints string
	log        string
	chunking   bool
	plain      bool   // without TLS and AUTH, on port 25
	accepted   string // what its log has for each message that it takes
}

var servers = map[string]server{
	"Postfix": {
		files: map[string]string{
			"/etc/postfix/main.cf": `compatibility_level = 3.6
myhostname = mx.test.example
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
virtual_mailbox_domains = remote.example
virtual_mailbox_maps = static:box
virtual_mailbox_base = ` + interopDir + `
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
maillog_file = /var/log/postfix.log
alias_maps =
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = ` + interopDir + `/cert.pem
smtpd_tls_key_file = ` + interopDir + `/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
`,
			interopDir + "/dovecot.conf": `protocols =
ssl = no
base_dir = /run/dovecot-interop
log_path = /var/log/dovecot.log
auth_mechanisms = plain login cram-md5 scram-sha-256
passdb {
  driver = static
  args = password=secret
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
`,
		},
		setup: `getent group postdrop || groupadd -r postdrop
id postfix || useradd -r -d /var/spool/postfix -s /usr/sbin/nologin postfix
sed -e '/^[a-z]/s/^\([^ ]*  *[a-z]*  *[^ ]*  *[^ ]*\)  *y /\1 n /' -e 's/^smtp  *inet/587 inet/' /usr/share/postfix/master.cf.dist >/etc/postfix/master.cf
cp /usr/share/postfix/postfix-files /usr/share/postfix/dynamicmaps.cf /etc/postfix/ 2>/dev/null || :
mkdir -p /etc/postfix/postfix-files.d /etc/postfix/dynamicmaps.cf.d
postfix set-permissions 2>/dev/null || :
postfix check`,
		run:        `dovecot -F -c ` + interopDir + `/dovecot.conf & exec postfix start-fg`,
		stop:       "postfix stop",
		complaints: `smtpd\[.*(improper|non-SMTP|lost connection|timeout|warning:|fatal:|too many|reject)`,
		log:        "/var/log/postfix.log",
		chunking:   true,
		accepted:   "/cleanup[",
	},
	"Exim": {
		files: map[string]string{"/etc/exim4/exim4.conf": `primary_hostname = mx.test.example
daemon_smtp_ports = 587
local_interfaces = 127.0.0.1
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4-%slog
tls_advertise_hosts = *
tls_certificate = ` + interopDir + `/cert.pem
tls_privatekey = ` + interopDir + `/key.pem
auth_advertise_hosts = ${if def:tls_in_cipher {*}{}}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
acl_smtp_mail = accept
queue_only
keep_environment =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
begin acl
rcpt:
  accept authenticated = *
  deny
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = ` + interopDir + `/box
  user = nobody
  group = nogroup
  mode = 0600
  batch_max = 1
begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{host}{secret}fail}
  server_set_id = $auth1
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{host}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
`},
		setup: `id Debian-exim || useradd -r -U -d /var/spool/exim4 -s /usr/sbin/nologin Debian-exim
mkdir -p /var/spool/exim4
chown Debian-exim:Debian-exim /var/spool/exim4
touch /var/log/exim4-mainlog /var/log/exim4-paniclog /var/log/exim4-rejectlog
chown Debian-exim:Debian-exim /var/log/exim4-* ` + interopDir + `/key.pem`,
		run:        `exec exim4 -bdf -q5s`,
		complaints: `(?i)synchronization|SMTP (syntax|protocol)|unexpected|rejected|lost|fail|error`,
		log:        "/var/log/exim4-mainlog",
		chunking:   true,
		accepted:   " <= ",
	},
	// That of Debian 12 fails in every TLS handshake, also with openssl s_client, and
	// takes no AUTH without.
	"OpenSMTPD": {
		plain: true,
		files: map[string]string{
			"/etc/smtpd.conf": `listen on lo port 25
action "box" mda "/bin/sh -c 'flock ` + interopDir + `/lock sh ` + interopDir + `/deliver'" virtual { "@" = nobody } user nobody
match from any for any action "box"
`,
			interopDir + "/deliver": `{ echo "From x@y Mon Nov 23 00:00:00 2026"; sed "s/^From />From /"; echo; } >>` + interopDir + "/box\n",
		},
		setup: `for u in opensmtpd opensmtpq; do id $u || useradd -r -U -d /var/lib/opensmtpd/empty -s /usr/sbin/nologin $u; done
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 755 /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd`,
		run:        `exec smtpd -d -f /etc/smtpd.conf >/var/log/smtpd.log 2>&1`,
		complaints: `failed-command|bad-input|io-error|protocol error`,
		log:        "/var/log/smtpd.log",
		accepted:   " smtp message ",
	},
}

// difficult are bodies that come out as they are, or not at all.
var difficult = []string{
	".\n..\n...\n. \n.x\n", "From here\n>From there\n", "no newline at the end", "\n\n\n", "",
	strings.Repeat("long ", 180) + "\n", "Gr\u00fc\u00dfe\n", "\ttab \n \n", strings.Repeat(strings.Repeat("x", 70)+"\n", 3000),
}

// TestInterop: the smarthosts that people have take every message once, as it is, and
// have nothing to complain about.
func TestInterop(t *testing.T) {
	if err := machine.Unpack(os.Getenv(buildVariable), serverPackages, "/usr/sbin/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases", "/usr/sbin/mailq", "/usr/sbin/newaliases", "/usr/share/man"); err != nil {
		t.Fatal(err)
	}
	for name, s := range servers {
		t.Run(name, func(t *testing.T) { s.test(t, newWorld(t, quick)) })
	}
}

func (s *server) test(t *testing.T, w *world) {
	s.prepare(w)
	conf := "SMARTHOST localhost:587\nAUTHPATH /etc/dma/interop.conf\nCAFILE " + interopDir + "/cert.pem\n"
	if s.plain {
		conf = "SMARTHOST localhost:25\n"
	}
	w.write(map[string]string{
		"/etc/dma/dma.conf":     "MAILNAME client.example.net\nMINFREE 0\nDEFER\n" + conf,
		"/etc/dma/interop.conf": "host|localhost:secret\n",
	})
	w.must("root", "", "sh", "-c", "chgrp _dmar /etc/dma/interop.conf && chmod 640 /etc/dma/interop.conf")
	t.Logf("%s", w.must("root", "", "/usr/libexec/dma/dma-remote", "--probe"))
	for i := range interopMessages {
		body := "number of the message\n"
		if i < len(difficult) {
			body = difficult[i]
		}
		rcpt := []string{"sendmail", "-i"}
		for r := range 1 + i%3 {
			rcpt = append(rcpt, fmt.Sprintf("r%d-%d@remote.example", i, r))
		}
		w.must("alice", fmt.Sprintf("Subject: interop\nX-Number: %d.\n\n%s", i, body), rcpt...)
	}
	began := time.Now()
	w.must("root", "", "sendmail", "-q")
	most := 0
	for len(queued()) > 0 && time.Since(began) < 2*time.Minute {
		most = max(most, s.connections(w))
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	if left := len(queued()); left > 0 {
		t.Fatalf("%d files are left in the queue\n%s", left, w.must("root", "", "mailq", "-v"))
	}
	limit := 20 + 1 // one goes while another comes
	if s.chunking {
		limit = 5 + 1
	}
	if most > limit {
		t.Errorf("%d connections at a time, want at most %d", most, limit)
	}
	t.Logf("%d messages in %v over at most %d connections at a time", interopMessages, took, most)
	s.arrived(w)
	s.content(w)
}

// connections are those to the server that are open now.
func (s *server) connections(w *world) (n int) {
	for line := range strings.Lines(w.read("/proc/net/tcp") + w.read("/proc/net/tcp6")) {
		// number, local and remote address and port, state 01: established
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[2], s.port()) && f[3] == "01" {
			n++
		}
	}
	return n
}

// port is as /proc/net/tcp has it.
func (s *server) port() string {
	if s.plain {
		return ":0019"
	}
	return ":024B"
}

// prepare configures and starts the server.
func (s *server) prepare(w *world) {
	w.t.Helper()
	w.must("root", "", "sh", "-ec", "rm -rf "+interopDir+"; mkdir -m 1777 "+interopDir+`; cd `+interopDir+`
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null
: >lock; chmod 666 lock; chmod 600 key.pem`)
	for path := range s.files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	w.write(s.files)
	w.must("root", "", "sh", "-ec", "exec >/dev/null\n"+s.setup)
	cmd := exec.Command("sh", "-c", s.run)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if s.stop != "" {
			w.must("root", "", "sh", "-c", s.stop)
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("log of the server:\n%s", tail(w.read(s.log)))
		}
	})
	w.eventually(20*time.Second, "the server listens", func() bool { return strings.Contains(w.read("/proc/net/tcp"), s.port()+" 00000000:0000 0A") })
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

// arrived makes sure that each recipient has each message once, and reads the log.
func (s *server) arrived(w *world) {
	w.t.Helper()
	want := 0
	for i := range interopMessages {
		want += 1 + i%3
	}
	count := func() int { return strings.Count("\n"+w.read(interopDir+"/box"), "\nFrom ") }
	w.eventually(2*time.Minute, "the server has delivered all", func() bool { return count() >= want })
	if n := count(); n != want {
		w.t.Errorf("%d deliveries, want %d", n, want)
	}
	log := w.read(s.log)
	for _, line := range regexp.MustCompile("(?m)^.*(?:"+s.complaints+").*$").FindAllString(log, 5) {
		w.t.Errorf("the server complains: %s", line)
	}
	if n := strings.Count(log, s.accepted); n != interopMessages {
		w.t.Errorf("the server took %d messages, says its log, want %d", n, interopMessages)
	}
	box := w.read(interopDir + "/box")
	for i := range interopMessages {
		if n := strings.Count(box, fmt.Sprintf("\nX-Number: %d.\n", i)); n != 1+i%3 {
			w.t.Errorf("message %d is there %d times, want %d", i, n, 1+i%3)
		}
	}
}

// content makes sure that difficult messages are as they were.
func (s *server) content(w *world) {
	w.t.Helper()
	box := w.read(interopDir + "/box")
	for i, body := range difficult {
		_, rest, _ := strings.Cut(box, fmt.Sprintf("\nX-Number: %d.\n", i))
		_, rest, _ = strings.Cut(rest, "\n\n")
		if body != "" && !strings.HasSuffix(body, "\n") {
			body += "\n"
		}
		// A mailbox has its own ways with From and with the end.
		body = strings.ReplaceAll(body, "From here", ">From here")
		if got := rest[:min(len(rest), len(body))]; strings.ReplaceAll(got, ">>From", ">From") != body && strings.ReplaceAll("\n"+got, "\nFrom", "\n>From") != "\n"+body {
			w.t.Errorf("message %d is %q, want %q", i, got[:min(len(got), 200)], body[:min(len(body), 200)])
		}
	}
}
