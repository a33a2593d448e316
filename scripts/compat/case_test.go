//go:build system

package compat

import (
	"slices"
	"strings"
)

// testCase is one call of the mailer. In words and input, {me} is the login that
// calls, and {twin} another login of the same uid.
type testCase struct {
	name string
	// The words of the command line as in a shell, with single quotes. The first
	// is sendmail if it is none of mailq, newaliases and what is in /usr.
	line  string
	words []string // further words, with any bytes
	in    string   // standard input; the letter if there is none here
	env   []string
	as    who
	looks bool // changes nothing
}

// who calls; a login that only this case has, if nothing else is said.
type who int

const (
	asRoot     who = 1
	asStranger who = 2 // a uid that no account has
)

// stranger is how far strangers' uids are from those of accounts.
const stranger = 1000

// nothing is empty input.
const nothing = "{nothing}"

// The letter, and what a message is made of.
const (
	letterHeader = "Date: Thu, 01 Feb 2001 03:04:05 +0000\nMessage-Id: <given@far.example>\nFrom: Ann <ann@far.example>\n"
	letter       = letterHeader + "To: x@far.example\nSubject: hello\n\nbody\n"
)

func (c testCase) input() string {
	switch c.in {
	case "":
		return letter
	case nothing:
		return ""
	}
	return c.in
}

func (c testCase) argv() []string {
	argv := append(split(c.line), c.words...)
	if len(argv) == 0 || !strings.HasPrefix(argv[0], "/usr/") && argv[0] != "mailq" && argv[0] != "newaliases" {
		argv = slices.Insert(argv, 0, "sendmail")
	}
	return argv
}

func (c testCase) program() string {
	switch name := c.argv()[0]; name {
	case "mailq", "newaliases":
		return "/usr/bin/" + name
	case "sendmail":
		return "/usr/sbin/sendmail"
	default:
		return name
	}
}

// split takes a line apart as a shell does, as far as single quotes go.
func split(line string) (words []string) {
	word, inWord, quoted := "", false, false
	for _, c := range line + " " {
		switch {
		case c == '\'':
			quoted, inWord = !quoted, true
		case c == ' ' && !quoted:
			if inWord {
				words = append(words, word)
			}
			word, inWord = "", false
		default:
			word, inWord = word+string(c), true
		}
	}
	return words
}

// batch is cases under one configuration.
type batch struct {
	name    string
	only    string // the mailer that this is for, if it is for one
	conf    string // dma.conf
	aliases string
	files   map[string]string
	answers []string // of the smarthost
	cases   []testCase
	after   []testCase // run when nothing moves any more, one by one
}

// smarthost is the start of every configuration: all that is not local goes there.
const smarthost = "SMARTHOST 127.0.0.1\nPORT 2525\n"

const usualAliases = "postmaster: root\nteam: alice, bob\n"

// allCases are the cases of all batches; where one stands is its number.
func allCases() (all []testCase) {
	for _, b := range batches() {
		all = append(all, b.cases...)
		all = append(all, b.after...)
	}
	return all
}
