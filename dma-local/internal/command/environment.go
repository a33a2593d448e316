package command

import (
	"strings"

	"dma/proto"
)

// path is where commands find programs. Whoever needs more says so in the command.
const path = "/usr/local/bin:/usr/bin:/bin"

// environment is all that a command finds in its environment (RULES D7). Home
// and shell are the administrator's words and stay as they are: a cleaned
// directory would be another one.
func (r *Runner) environment(d *proto.Deliver) []string {
	shell := r.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	local, domain := split(d.Recipient)
	return []string{
		"PATH=" + path,
		"HOME=" + r.Home,
		"LOGNAME=" + clean(r.Login),
		"USER=" + clean(r.Login),
		"SHELL=" + shell,
		"SENDER=" + clean(d.Sender), // empty for the null sender: sendmail -f '' means it, too
		"RECIPIENT=" + clean(d.Recipient),
		"ORIGINAL_RECIPIENT=" + clean(d.Original),
		"EXTENSION=" + clean(strings.ToLower(d.Extension)),
		"LOCAL=" + clean(local),
		"DOMAIN=" + clean(domain),
	}
}

// split takes an address apart at its last @: a quoted local part may have others.
func split(address string) (local, domain string) {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i+1:]
	}
	return address, ""
}

// argument is an address as a word of a command line: cleaned, and no option.
func argument(address string) string {
	s := clean(address)
	if strings.HasPrefix(s, "-") {
		s = "_" + s[1:]
	}
	return s
}

// clean replaces every byte that a shell might find a meaning in, should a
// command forget its quotes.
func clean(s string) string {
	const good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_=+:,./-"
	b := []byte(s)
	for i := range b {
		if strings.IndexByte(good, b[i]) < 0 {
			b[i] = '_'
		}
	}
	return string(b)
}
