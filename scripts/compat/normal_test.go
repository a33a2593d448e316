//go:build system

package compat

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"regexp"
	"slices"
	"strings"
)

// normal takes out of a result what differs each time: dates, ids, versions, and
// the account that the case was given.
func normal(number int, r *result) *result {
	own := strings.NewReplacer(
		fmt.Sprintf("u%03d", number), "me",
		fmt.Sprintf("t%03d", number), "twin",
		fmt.Sprintf("uid %d", firstCase+number), "uid UID",
		fmt.Sprintf("uid %d", firstCase+stranger+number), "uid STRANGER",
		fmt.Sprintf("uid=%d", firstCase+stranger+number), "uid=STRANGER",
		fmt.Sprintf("uid%d", firstCase+stranger+number), "uidSTRANGER",
	)
	n := &result{
		Exit:   r.Exit,
		Stdout: own.Replace(sortQueue(queueID.ReplaceAllString(r.Stdout, "${1}ID"))),
		Stderr: r.Stderr,
	}
	for _, m := range r.Mail {
		text := normalMessage(m.Text)
		if isBounce(m.Text) {
			text = normalBounce(m.Text)
		}
		n.Mail = append(n.Mail, message{To: own.Replace(m.To), From: own.Replace(m.From), Text: own.Replace(text)})
	}
	return n
}

var (
	queueID   = regexp.MustCompile(`(?m)^(ID\t: |message )[0-9a-f]+\.[0-9a-f]+`)
	fromLine  = regexp.MustCompile(`^(From \S*)([\t ]+)\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n`)
	idLine    = regexp.MustCompile(`(?m)^\tid [0-9a-f.]+$`)
	version   = regexp.MustCompile(`DragonFly Mail Agent v[\w.]*\w( on [\w.-]*\w)?`)
	rfc5322   = `\w{3}, \d\d \w{3} 20[2-9]\d \d\d:\d\d:\d\d [-+]\d{4}`
	dateLine  = regexp.MustCompile(`(?m)^\t` + rfc5322 + `$`)
	dateField = regexp.MustCompile(`(?m)^Date: ` + rfc5322 + `\n`)
	messageID = regexp.MustCompile(`(?mi)^Message-Id: <(?:[0-9a-f]+\.)+[0-9a-f]+@(\S+)>\n`)
)

// normalMessage puts generated Date and Message-Id fields in front, which is
// where neither program has them: their place is no difference.
func normalMessage(text string) string {
	head, body := text, ""
	if end := strings.Index(text, "\n\n"); end >= 0 {
		head, body = text[:end+1], text[end+1:]
	}
	head = fromLine.ReplaceAllString(head, "${1}${2}NOW\n")
	head = idLine.ReplaceAllString(head, "\tid ID")
	head = version.ReplaceAllString(head, "DragonFly Mail Agent VERSION")
	head = dateLine.ReplaceAllString(head, "\tNOW")
	var front string
	if dateField.MatchString(head) {
		head, front = dateField.ReplaceAllString(head, ""), front+"Date: NOW\n"
	}
	if m := messageID.FindStringSubmatch(head); m != nil {
		head, front = messageID.ReplaceAllString(head, ""), front+"Message-Id: <ID@"+m[1]+">\n"
	}
	return front + head + body
}

func isBounce(text string) bool { return strings.Contains(text, "\nSubject: Mail delivery failed\n") }

// normalBounce is what people and programs read in a bounce: who it is from and
// to, dma's lines, and what of the message came back. The suite has that in parts
// of a multipart/report (RFC 3464).
func normalBounce(text string) string {
	if strings.HasPrefix(text, "From ") {
		_, text, _ = strings.Cut(text, "\n")
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return fmt.Sprintf("not a message: %v\n%s", err, text)
	}
	said, returned, err := bounceParts(m)
	if err != nil {
		return fmt.Sprintf("not a bounce: %v\n%s", err, text)
	}
	var out strings.Builder
	for _, name := range []string{"From", "To", "Subject"} {
		fmt.Fprintf(&out, "%s: %s\n", name, m.Header.Get(name))
	}
	said = version.ReplaceAllString(said, "DragonFly Mail Agent VERSION")
	return out.String() + "\n" + said + "\n\n" + normalMessage(strings.TrimRight(returned, "\n")+"\n")
}

// bounceParts are what a bounce says, up to the line that announces the message,
// and the message.
func bounceParts(m *mail.Message) (said, returned string, err error) {
	kind, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if kind != "multipart/report" {
		body, err := io.ReadAll(m.Body)
		text := string(body)
		end := strings.Index(text, "follow")
		if err != nil || end < 0 {
			return "", "", fmt.Errorf("no message follows: %w", err)
		}
		end += strings.IndexByte(text[end:], '\n')
		return text[:end], strings.TrimPrefix(text[end:], "\n\n"), nil
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := r.NextPart() // decodes quoted-printable
		if errors.Is(err, io.EOF) {
			return strings.TrimRight(said, "\n"), returned, nil
		}
		if err != nil {
			return "", "", err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return "", "", err
		}
		switch kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind {
		case "text/plain":
			said = string(text)
		case "message/delivery-status":
		default:
			returned = string(text)
		}
	}
}

// sortQueue puts the entries of mailq into order: dma's are in that of the
// directory.
func sortQueue(out string) string {
	if !strings.HasPrefix(out, "ID\t: ") {
		return out
	}
	entries := strings.Split(out, "--\n")
	slices.Sort(entries)
	return strings.Join(entries, "--\n")
}
