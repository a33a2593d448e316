//go:build system

package system

const gitPatch = `From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Zoe Other <zoe@other.example>
Date: Mon, 23 Nov 2026 22:22:55 +0000
Subject: [PATCH] grüße

` + gitBody

const gitBody = `Text that says größer.
.
From here on.
---
 a | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/a b/a
index 1111111..2222222 100644
--- a/a
+++ b/a
@@ -1 +1 @@
-a
+b
-- 
2.39.5

`

const pythonScript = `import subprocess
from email.message import EmailMessage
from email.policy import SMTP
m = EmailMessage(policy=SMTP)
m["Subject"] = "grüße"
m["From"] = "Alice Adams <alice@client.example.net>"
m["To"] = "bob@client.example.net, " + ", ".join("Räcipient %d <r%d@remote.example>" % (i, i) for i in range(4))
m["Bcc"] = "carol"
m.set_content(open("text").read(), cte="8bit")
subprocess.run(["/usr/sbin/sendmail", "-t", "-oi"], input=m.as_bytes(), check=True)
`

const phpScript = `<?php
$ok = mail("bob", "greetings", "one\r\ntwo\n.\n..\nlast", "From: Shop <shop@corp.example>\r\nCc: far@remote.example\r\nBcc: carol");
exit($ok ? 0 : 1);
`

const phpSender = `<?php
$ok = mail("bob@client.example.net", "greetings", "text", ["Reply-To" => "shop@corp.example"], "-fshop@corp.example");
exit($ok ? 0 : 1);
`

const liteScript = `use MIME::Lite;
local $/;
open my $f, "<", "text";
MIME::Lite->new(From => 'alice', To => 'bob', Cc => 'Far Away <far@remote.example>', Bcc => 'carol', Subject => 'greetings',
	Type => 'text/plain; charset=UTF-8', Encoding => '8bit', Data => <$f>)->send or die;
`

const mailerScript = `use Mail::Mailer;
my $m = Mail::Mailer->new('sendmail');
$m->open({From => 'boss@corp.example', To => ['bob', 'far@remote.example'], Subject => 'greetings'});
print $m "one\n";
$m->close or die;
`

// scriptClients are programs that other programs send mail with.
func scriptClients() []client {
	return []client{
		{
			name: "git send-email", program: "/usr/lib/git-core/git-send-email",
			files: map[string]string{"/home/alice/.gitconfig": "[user]\n\tname = Alice Adams\n\temail = alice@corp.example\n", "/home/alice/0001.patch": gitPatch},
			run:   `git send-email --confirm=never --quiet --8bit-encoding=UTF-8 --to=list@remote.example --cc=bob@client.example.net 0001.patch`,
			want: each(want{
				sender: alice, header: "Subject: =?UTF-8?q?=5BPATCH=5D=20gr=C3=BC=C3=9Fe?=\nFrom: Alice Adams <alice@corp.example>\nContent-Transfer-Encoding: 8bit\n",
				body: "From: Zoe Other <zoe@other.example>\n\n" + gitBody,
			}, "bob", "list@remote.example zoe@other.example"),
		},
		{
			name: "git send-email, sender", program: "/usr/lib/git-core/git-send-email",
			run:  `git send-email --confirm=never --quiet --8bit-encoding=UTF-8 --suppress-cc=all --envelope-sender=auto --to=bob@client.example.net 0001.patch`,
			want: each(want{sender: "alice@corp.example", header: "From: Alice Adams <alice@corp.example>\n", body: "From: Zoe Other <zoe@other.example>\n\n" + gitBody}, "bob"),
		},
		{
			name: "quilt mail", program: "quilt", // without -i
			files: map[string]string{"/home/alice/series": "mark.patch\n", "/home/alice/mark.patch": "mark\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"},
			run: `mkdir -p q/patches && cp series mark.patch q/patches && cd q && echo a >f && quilt push -q &&
				quilt mail -m cover --subject series --from 'Alice Adams <alice@corp.example>' --sender alice@corp.example --to bob@client.example.net --cc far@remote.example --send`,
			want: append(each(want{sender: "alice@corp.example", header: "Subject: [patch 0/1] series\nFrom: Alice Adams <alice@corp.example>\n", body: "cover\n\n"}, "bob", far),
				each(want{sender: "alice@corp.example", header: "Subject: [patch 1/1] mark\n", body: "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n\n"}, "bob", far)...),
		},
		{
			name: "PHP mail()", program: "php",
			files: map[string]string{"/home/alice/send.php": phpScript},
			run:   `php send.php`,
			want:  each(want{sender: alice, header: subjectGreetings + "From: Shop <shop@corp.example>\n", body: "one\ntwo\n.\n..\nlast\n"}, "bob", "carol", far),
		},
		{
			name: "PHP mail(), -f", program: "php",
			files: map[string]string{"/home/alice/sender.php": phpSender},
			run:   `php sender.php`,
			want:  each(want{sender: "shop@corp.example", header: subjectGreetings + "Reply-To: shop@corp.example\n", body: "text\n"}, "bob"),
		},
		{
			name: "Python", program: "/usr/bin/python3", // CRLF throughout
			files: map[string]string{"/home/alice/send.py": pythonScript},
			run:   `/usr/bin/python3 send.py`,
			want: each(want{sender: alice, header: "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nFrom: Alice Adams <alice@client.example.net>\n", body: text},
				"bob", "carol", "r0@remote.example r1@remote.example r2@remote.example r3@remote.example"),
		},
		{
			name: "Perl MIME::Lite", program: "/usr/share/perl5/MIME/Lite.pm",
			files: map[string]string{"/home/alice/lite.pl": liteScript},
			run:   `perl lite.pl`,
			want:  each(want{sender: alice, header: subjectGreetings + "To: bob@client.example.net\nCc: Far Away <far@remote.example>\n", body: text}, "bob", "carol", far),
		},
		{
			name: "Perl Mail::Mailer", program: "/usr/share/perl5/Mail/Mailer.pm",
			files: map[string]string{"/home/alice/mailer.pl": mailerScript},
			run:   `perl mailer.pl`,
			want:  each(want{sender: alice, header: subjectGreetings + "From: boss@corp.example\n", body: "one\n"}, "bob", far),
		},
		{
			name: "swaks, SMTP", program: "swaks",
			run:  `swaks --silent --pipe '/usr/sbin/sendmail -bs' --from boss@corp.example --to bob,far@remote.example --h-Subject greetings --body @text`,
			want: each(want{sender: boss, header: subjectGreetings + "From: boss@corp.example\n", body: text + "\n\n"}, "bob", far),
		},
		{
			name: "swaks, SMTP, one refused", program: "swaks",
			run:  `swaks --silent --pipe '/usr/sbin/sendmail -bs' --from '<>' --to bob,nosuchuser --h-From boss@corp.example --h-Subject greetings --body @text`,
			want: each(want{sender: "", header: subjectGreetings, body: text + "\n\n"}, "bob"),
		},
		{
			name: "vacation", program: "vacation",
			files: map[string]string{
				"/home/carol/.forward":      "\\carol, \"|/usr/bin/vacation carol\"\n",
				"/home/carol/.vacation.msg": "Subject: away: $SUBJECT\n\nback soon\n",
			},
			as:  "root",
			run: `su carol -c 'vacation -i' && su - alice -c 'LANG=C.UTF-8 bsd-mailx -s greetings carol <text'`,
			want: []want{
				{at: "carol", sender: alice, by: "alice", header: subjectGreetings, body: text},
				{at: "alice", sender: "carol@client.example.net", by: "carol", header: "Subject: away: greetings\nTo: alice@client.example.net\n", body: "back soon\n"},
			},
		},
		{
			name: "procmail and formail", program: "procmail",
			files: map[string]string{
				"/home/bob/.forward": "|/usr/bin/procmail\n",
				"/home/bob/.procmailrc": ":0 c\n! far@remote.example\n\n" +
					":0 c\n| (formail -r -A 'X-Loop: bob'; echo received) | /usr/sbin/sendmail -oi -t\n\n:0:\n/var/mail/bob\n",
			},
			run: `bsd-mailx -s greetings bob <text`,
			want: []want{ // procmail ends mail with a blank line, and does not quote what looks quoted
				{at: "bob", sender: alice, header: subjectGreetings, body: "grüße\n.\n..\nFrom here\nFrom there\nlast line\n"},
				{at: far, sender: "bob@client.example.net", by: "bob", header: subjectGreetings, body: text + "\n"},
				{at: "alice", sender: "bob@client.example.net", by: "bob", header: "Subject: Re: greetings\nX-Loop: bob\n", body: "received\n"},
			},
		},
	}
}
