package conf

import (
	"errors"
	"fmt"
	"strings"

	"dma/common/site"
)

// maxMDAWords bounds the words of MDA.
const maxMDAWords = 64

// setMailbox reads the value of MAILBOX.
func setMailbox(p *parser, value string) error {
	maildir := strings.HasSuffix(value, "/")
	_, own := strings.CutPrefix(value, "~/")
	used, err := checkPercents(value, "uh")
	switch {
	case err != nil:
		return fmt.Errorf("%w; write %%u for the login, %%h for the home directory, %%%% for a percent sign", err)
	case strings.ContainsAny(value, " \t"):
		return errors.New("has a blank; write one directory")
	case !own && value[0] != '/' && !strings.HasPrefix(value, "%h/"):
		return errors.New("not an absolute path; write one, or one that begins with ~/")
	case maildir && !own && used == "":
		return errors.New("one maildir for all; write %u for the login in it, or leave the final slash out for a directory of mbox files")
	case !maildir && (own || used != ""):
		return errors.New("differs from user to user; put a slash at its end if it is a maildir; a directory of mbox files has no %u or ~, they are named by login")
	}
	p.config.Mailbox = value
	return nil
}

// setMDA reads the value of MDA: words with blanks between, no quotes.
func setMDA(p *parser, value string) error {
	words := strings.Fields(value)
	switch {
	case words[0][0] != '/' || strings.Contains(words[0], "%"):
		return errors.New("the program is no absolute path; write MDA /path/of/program, and its arguments behind it")
	case len(words) > maxMDAWords:
		return fmt.Errorf("more than %d words", maxMDAWords)
	case strings.ContainsAny(value, `"'`):
		return errors.New("has quotes, which mean nothing here; write words with blanks between, or a script that has the rest")
	}
	for _, w := range words {
		if _, err := checkPercents(w, "uhsr"); err != nil {
			return fmt.Errorf("%w; write %%u for the login, %%h for the home directory, %%s for the sender, %%r for the recipient, %%%% for a percent sign", err)
		}
	}
	p.config.MDA = words
	return nil
}

// checkPercents says which of the letters stand behind a percent sign in s. Any
// other letter there is an error.
func checkPercents(s, letters string) (used string, err error) {
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return used, nil
		}
		if rest == "" || rest[0] != '%' && !strings.Contains(letters, rest[:1]) {
			return "", fmt.Errorf("%%%.1s is not known", rest)
		}
		if rest[0] != '%' {
			used += rest[:1]
		}
		s = rest[1:]
	}
}

// Expand puts values in the places of %u, %h, %s and %r in a word of MAILBOX or MDA.
// What a value holds is not looked at.
func Expand(word, login, home, sender, recipient string) string {
	if !strings.Contains(word, "%") {
		return word
	}
	return strings.NewReplacer("%%", "%", "%u", login, "%h", home, "%s", sender, "%r", recipient).Replace(word)
}

// MailboxOf says where the mail of login is: an mbox file, or a maildir, whose path
// ends in a slash. The error is for mail to wait for: there is no telling where
// it belongs.
func (c *Config) MailboxOf(login, home string) (path string, maildir bool, err error) {
	if err := c.broken[local]; err != nil {
		return "", false, err
	}
	pattern := c.Mailbox
	if pattern == "" {
		pattern = site.Mail
	}
	if !strings.HasSuffix(pattern, "/") {
		return pattern + "/" + login, false, nil
	}
	if rest, own := strings.CutPrefix(pattern, "~/"); own {
		pattern = "%h/" + rest
	}
	if strings.Contains(pattern, "%h") && (!strings.HasPrefix(home, "/") || home == "/") {
		return "", false, fmt.Errorf("MAILBOX %s: %s has no home directory", c.Mailbox, login)
	}
	return Expand(pattern, login, strings.TrimRight(home, "/"), "", ""), true, nil
}
