//go:build system

package system

const root = "root@client.example.net"

const aliceCrontab = `@reboot cat text
@reboot echo trouble >&2; sleep 0.2; exit 3
@reboot true
`

// The list of addresses is one word of sendmail's command line.
const bobCrontab = `MAILTO=carol,far@remote.example
CONTENT_TYPE=text/plain; charset=utf-8
@reboot echo hello
`

const anacrontab = `SHELL=/bin/sh
PATH=/usr/bin:/bin
MAILTO=bob
START_HOURS_RANGE=0-23
RANDOM_DELAY=0
1 0 daily.test cat /home/bob/text
`

const logcheckLine = "Nov 23 22:22:55 client kernel: something odd\n"

// systemClients are what a machine sends by itself, and changes of account.
func systemClients() []client {
	plain := subjectGreetings + "To: bob@client.example.net\n"
	return []client{
		{
			// Jobs for the start of the machine are run at once, by the same code as those
			// for a minute.
			name: "cron", program: "cron", as: "root",
			files: map[string]string{
				"/home/alice/crontab": aliceCrontab, "/home/bob/crontab": bobCrontab,
				"/etc/cron.d/clients": "@reboot root echo hello\n",
			},
			run:   `su - alice -c 'crontab crontab'; su - bob -c 'crontab crontab'; cron`,
			after: `kill $(cat /run/crond.pid)`,
			want: []want{
				{at: "alice", sender: alice, by: "alice", header: "Subject: Cron <alice@client> cat text\nFrom: root@client.example.net (Cron Daemon)\nTo: alice@client.example.net\n", body: text},
				{at: "alice", sender: alice, by: "alice", header: "Subject: Cron <alice@client> echo trouble >&2; sleep 0.2; exit 3\n", body: "trouble\n"},
				{at: "carol", sender: "bob@client.example.net", by: "bob", header: "Subject: Cron <bob@client> echo hello\nContent-Type: text/plain; charset=utf-8\nTo: carol@client.example.net,far@remote.example\n", body: "hello\n"},
				{at: far, sender: "bob@client.example.net", by: "bob", header: "Subject: Cron <bob@client> echo hello\n", body: "hello\n"},
				{at: "root", sender: root, header: "Subject: Cron <root@client> echo hello\nTo: root@client.example.net\n", body: "hello\n"},
			},
		},
		{
			name: "anacron", program: "anacron", as: "root", // without -i, so that the dot ends it
			files: map[string]string{"/etc/anacrontab.clients": anacrontab},
			run:   `anacron -d -f -n -t /etc/anacrontab.clients`,
			want:  each(want{sender: root, header: "Subject: Anacron job 'daily.test' on client.example.net\nFrom: Anacron <root@client.example.net>\n", body: "grüße\n"}, "bob"),
		},
		{
			name: "at", program: "atd", as: "root",
			run:   `echo 0 >/var/spool/cron/atjobs/.SEQ; atd; su - alice -c 'echo "cat text; exit 2" | at now; echo true | at -m now'`,
			after: `kill $(cat /run/atd.pid)`,
			want: []want{
				{at: "alice", sender: alice, by: "alice", header: "Subject: Output from your job        1\nTo: alice@client.example.net\n", body: text},
				{at: "alice", sender: alice, by: "alice", header: "Subject: Output from your job        2\n"},
			},
		},
		{
			name: "logcheck", program: "logcheck", as: "logcheck",
			files: map[string]string{"/home/alice/log": logcheckLine},
			run:   `logcheck -m bob -l /home/alice/log`,
			want:  each(want{sender: "logcheck@client.example.net", header: "Auto-Submitted: auto-generated\nTo: bob@client.example.net\n", part: logcheckLine}, "bob"),
		},
		{
			name: "logwatch", program: "logwatch", as: "root",
			run: `mkdir -p /var/cache/logwatch; LC_ALL=C date '+%b %e %T client sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true' >/var/log/auth.log;
				logwatch --output mail --mailto bob --service sudo --range today --detail high`,
			want: each(want{sender: root, header: "Subject: Logwatch for client.example.net (Linux)\nPrecedence: bulk\n", part: "\n alice => root\n -------------\n /bin/true\n"}, "bob"),
		},
		{
			name: "sudo, refused", program: "sudo", exit: 1,
			run: `sudo -n cat /etc/shadow`,
			want: each(want{
				sender: alice, header: "Subject: *** SECURITY information for client.example.net ***\nAuto-Submitted: auto-generated\nTo: root@client.example.net\n",
				part: " : alice : a password is required ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow\n",
			}, "root"),
		},
		{
			name: "sudo", program: "sudo",
			run:  `sudo -n bsd-mailx -s greetings bob <text`,
			want: each(want{sender: root, by: "root", header: plain, body: text}, "bob"),
		},
		{
			name: "sudo -u", program: "sudo",
			run:  `sudo -n -u carol bsd-mailx -s greetings bob <text`,
			want: each(want{sender: "carol@client.example.net", by: "carol", header: plain + "From: carol@client.example.net\n", body: text}, "bob"),
		},
		{
			name: "su", program: "su", as: "root",
			run:  `su alice -c 'bsd-mailx -s greetings bob </home/alice/text'`,
			want: each(want{sender: alice, by: "alice", header: plain, body: text}, "bob"),
		},
		{
			name: "su -", program: "su", as: "root", // which clears the environment
			run:  `su - alice -c 'bsd-mailx -s greetings bob <text'`,
			want: each(want{sender: alice, by: "alice", header: plain, body: text}, "bob"),
		},
		{
			name: "su -p", program: "su", as: "root", // which leaves root's
			run:  `LOGNAME=root USER=root su -p alice -c 'bsd-mailx -s greetings bob </home/alice/text'`,
			want: each(want{sender: alice, by: "alice", header: plain, body: text}, "bob"),
		},
		{
			name: "runuser", program: "runuser", as: "root",
			run:  `runuser -u alice -- bsd-mailx -s greetings bob </home/alice/text`,
			want: each(want{sender: alice, by: "alice", header: plain, body: text}, "bob"),
		},
		{
			name: "no environment, no descriptors", program: "env",
			run:  `env -i /usr/sbin/sendmail -i bob <text 1>&- 2>&-`,
			want: each(want{sender: alice, header: from, body: "grüße\n.\n..\nFrom here\n>From there\nlast line\n"}, "bob"),
		},
		{
			name: "no new privileges", program: "setpriv", exit: 1, // RULES A3
			run: `setpriv --no-new-privs bsd-mailx -s greetings bob <text`,
		},
	}
}
