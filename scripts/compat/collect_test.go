//go:build system

package compat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// collect gives what has arrived to the cases that sent it.
func (r *runner) collect() error {
	events, err := os.ReadFile(r.dir + "/log.jsonl")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(events)) {
		var e struct {
			Sender     string   `json:"sender"`
			Recipients []string `json:"recipients"`
			File       string   `json:"file"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return err
		}
		if e.File == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(r.dir, e.File))
		if err != nil {
			return err
		}
		for _, to := range e.Recipients {
			r.assign(message{To: to, From: e.Sender, Text: strings.ReplaceAll(string(text), "\r\n", "\n")})
		}
	}
	boxes, err := filepath.Glob(mailDir + "/*")
	if err != nil {
		return err
	}
	for _, path := range boxes {
		if strings.HasSuffix(path, ".lock") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range r.splitBox(string(text)) {
			m.To = "mailbox " + filepath.Base(path)
			r.assign(m)
		}
	}
	return nil
}

// splitBox takes a mailbox apart. dma writes an empty line between messages, the
// suite one behind each.
func (r *runner) splitBox(text string) (list []message) {
	if text == "" {
		return nil
	}
	pieces := strings.Split("\n"+text, "\n\nFrom ")
	pieces[0] = strings.TrimPrefix(pieces[0], "\nFrom ")
	for i, piece := range pieces {
		if i < len(pieces)-1 {
			piece += "\n" // which went with the empty line
		} else if r.mailer == suite {
			piece = strings.TrimSuffix(piece, "\n")
		}
		sender, _, _ := strings.Cut(strings.ReplaceAll(piece, "\t", " "), " ")
		if sender == "MAILER-DAEMON" {
			sender = ""
		}
		list = append(list, message{From: sender, Text: "From " + piece})
	}
	return list
}

var (
	sentBy  = regexp.MustCompile(`\(uid (\d+)\)\n`)
	ownName = regexp.MustCompile(`^(?:mailbox )?[ut](\d{3})(?:@|$)`)
)

// assign finds the case that m is of: by who sent it, or by who gets the bounce.
func (r *runner) assign(m message) {
	number := -1
	if match := sentBy.FindStringSubmatch(m.Text); match != nil {
		uid, _ := strconv.Atoi(match[1])
		number = (uid - firstCase) % stranger
	} else if match := ownName.FindStringSubmatch(m.To); match != nil {
		number, _ = strconv.Atoi(match[1])
	}
	cases := allCases()
	if number < 0 || number >= len(cases) || r.report.Results[cases[number].name] == nil {
		r.report.Stray = append(r.report.Stray, fmt.Sprintf("to %s from <%s>: %.300q", m.To, m.From, m.Text))
		return
	}
	res := r.report.Results[cases[number].name]
	res.Mail = append(res.Mail, m)
}
