//go:build system

package system

const (
	alice = "alice@client.example.net"
	boss  = "boss@corp.example"
	far   = "far@remote.example"

	subjectGreetings = "Subject: greetings\n"
	from             = "From: Alice Adams <" + alice + ">\n"
	eightBit         = "Content-Type: text/plain; charset=\"UTF-8\"\nContent-Transfer-Encoding: 8bit\n"
)

// each is the same message at several places.
func each(w want, places ...string) (list []want) {
	for _, p := range places {
		w.at = p
		list = append(list, w)
	}
	return list
}

// mailClients are those that people write mail with.
func mailClients() []client {
	return []client{
		{
			name: "bsd-mailx", program: "bsd-mailx",
			run:  `bsd-mailx -s greetings -c carol bob far@remote.example <text`,
			want: each(want{sender: alice, header: subjectGreetings + from + eightBit, body: text}, "bob", "carol", far),
		},
		{
			name: "bsd-mailx -r -b", program: "bsd-mailx",
			run:  `bsd-mailx -r boss@corp.example -b far@remote.example -s greetings bob <text`,
			want: each(want{sender: boss, header: subjectGreetings + "From: boss@corp.example\nTo: bob@client.example.net\n", body: text}, "bob", far),
		},
		{
			name: "bsd-mailx, EMAIL", program: "bsd-mailx",
			run:  `EMAIL='Boss <boss@corp.example>' bsd-mailx -s greetings far@remote.example <text`,
			want: each(want{sender: boss, header: subjectGreetings + "From: Boss <boss@corp.example>\n", body: text}, far),
		},
		{
			name: "bsd-mailx, alias", program: "bsd-mailx",
			run:  `bsd-mailx -s greetings team <text`,
			want: each(want{sender: alice, header: subjectGreetings + "To: team@client.example.net\n", body: text}, "alice", "bob"),
		},
		{
			name: "bsd-mailx, no such user", program: "bsd-mailx", exit: 1,
			run: `bsd-mailx -s greetings nosuchuser <text`,
		},
		{
			name: "bsd-mailx, one of two unknown", program: "bsd-mailx",
			run: `bsd-mailx -s greetings bob nosuchuser <text`,
			want: append(each(want{sender: alice, header: subjectGreetings, body: text}, "bob"),
				want{at: "alice", header: "Subject: Mail delivery failed\n", part: "There was an error delivering your mail to <nosuchuser>."}),
		},
		{
			name: "s-nail", program: "s-nail",
			run: `s-nail -s grüße -b carol -a /etc/hostname bob <text`,
			want: each(want{sender: alice, header: "Subject: =?utf-8?B?Z3LDvMOfZQ==?=\n", body: "This is a multi-part message in MIME format.\n\n" +
				"--BOUNDARY\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nContent-Disposition: inline\n\n" +
				"gr=C3=BC=C3=9Fe\n=2E\n..\n=46rom here\n>From there\nlast line\n\n" +
				"--BOUNDARY\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: attachment; filename=\"hostname\"\n\nclient.example.net\n\n--BOUNDARY--\n"}, "bob", "carol"),
		},
		{
			name: "s-nail -r", program: "s-nail",
			run:  `s-nail -r 'Boss <boss@corp.example>' -s greetings far@remote.example <text`,
			want: each(want{sender: boss, header: subjectGreetings + "From: Boss <boss@corp.example>\n", body: "gr=C3=BC=C3=9Fe\n=2E\n..\n=46rom here\n>From there\nlast line\n"}, far),
		},
		{
			name: "GNU mail", program: "mail.mailutils", // it ends the message at the dot itself
			run:  `mail.mailutils -s greetings -a 'X-Test: yes' bob far@remote.example <text`,
			want: each(want{sender: alice, header: subjectGreetings + "From: " + alice + "\nX-Test: yes\n", body: "grüße\n"}, "bob", far),
		},
		{
			name: "GNU mail -r", program: "mail.mailutils",
			run:  `printf 'one\ntwo' | mail.mailutils -r boss@corp.example -s greetings bob`,
			want: each(want{sender: boss, header: subjectGreetings + "From: boss@corp.example\n", body: "one\ntwo\n"}, "bob"),
		},
		{
			name: "mutt", program: "mutt",
			run: `mutt -e 'set send_charset=utf-8' -s grüße -a /etc/hostname -b far@remote.example -- bob <text`,
			want: each(want{sender: alice, header: "Subject: =?utf-8?B?Z3LDvMOfZQ==?=\n", body: "\n" +
				"--BOUNDARY\nContent-Type: text/plain; charset=utf-8\nContent-Disposition: inline\nContent-Transfer-Encoding: 8bit\n\n" + text + "\n" +
				"--BOUNDARY\nContent-Type: text/plain; charset=utf-8\nContent-Disposition: attachment; filename=hostname\n\nclient.example.net\n\n--BOUNDARY--\n"}, "bob", far),
		},
		{
			name: "mutt, draft", program: "mutt", // 8-bit text that is no UTF-8
			files: map[string]string{"/home/alice/draft": "From: Boss <boss@corp.example>\nTo: bob\nBcc: far@remote.example\nSubject: greetings\n\n" + text},
			run:   `mutt -e 'set use_envelope_from send_charset=iso-8859-1' -H draft </dev/null`,
			want:  each(want{sender: boss, header: subjectGreetings + "From: Boss <boss@corp.example>\n", body: "gr\xfc\xdfe\n.\n..\nFrom here\n>From there\nlast line\n"}, "bob", far),
		},
		{
			name: "nmh", program: "/usr/bin/mh/send",
			files: map[string]string{"/home/alice/.mh_profile": "Path: .\n", "/home/alice/draft": "From: alice\nTo: bob\nCc: far@remote.example\nSubject: greetings\n--------\nplain\n.\nFrom here\n"},
			run:   `/usr/bin/mh/send ~/draft`,
			want:  each(want{sender: alice, header: subjectGreetings + "Cc: far@remote.example\n", body: "plain\n.\nFrom here\n"}, "bob", far),
		},
		{
			name: "nmh, SMTP", program: "/usr/bin/mh/send",
			files: map[string]string{"/home/alice/draft": "From: alice\nTo: bob\nCc: far@remote.example\nSubject: greetings\n--------\nplain\n.\nFrom here\n"},
			run:   `/usr/bin/mh/send -mts sendmail/smtp ~/draft`,
			want:  each(want{sender: alice, header: subjectGreetings, body: "plain\n.\nFrom here\n"}, "bob", far),
		},
		{
			name: "mpack", program: "mpack",
			run: `mpack -s greetings /etc/hostname bob far@remote.example`,
			want: each(want{sender: alice, header: subjectGreetings, body: "This is a MIME encoded message.  Decode it with \"munpack\"\nor any other MIME reading software.  Mpack/munpack is available\nvia anonymous FTP in ftp.andrew.cmu.edu:pub/mpack/\n" +
				"--BOUNDARY\nContent-Type: application/octet-stream; name=\"hostname\"\nContent-Transfer-Encoding: base64\nContent-Disposition: inline; filename=\"hostname\"\nContent-MD5: nnac/NHgKetvXH6fzXfgkg==\n\nY2xpZW50LmV4YW1wbGUubmV0Cg==\n\n--BOUNDARY--\n"}, "bob", far),
		},
	}
}
