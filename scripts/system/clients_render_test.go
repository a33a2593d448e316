//go:build system

package system

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const clientsTable = "clients.md"

const tableHead = `# Clients

What programs of Debian 12 tell sendmail, and what comes of it with this suite installed. TestClients makes this
table and fails when it is no longer true; ` + "`go test -tags system -run TestClients ./scripts/system -update`" + ` writes it
anew. alice, bob and carol are users of client.example.net; other addresses are behind the smarthost. ` + "`text`" + ` is a
file with 8-bit text and the lines ` + "`.`, `..`, `From here` and `>From there`" + `, and as a body it arrived unchanged. Under
*sent* is the account, what it ran, and how the client called sendmail then. The test also looks at Date, Message-ID
and Received, and at every byte of the bodies; here long ones are cut.

| client | sent | arrived |
|---|---|---|
`

// shown are the fields that the table has.
var shown = []string{"from", "sender", "reply-to", "to", "cc", "subject", "auto-submitted", "content-type", "content-transfer-encoding"}

const maxShown = 120 // bytes of a body; all of it is in the tables that the test has

var (
	boundaryField = regexp.MustCompile(`boundary="?([^";\s]+)"?`)
	times         = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d \+0000`)
)

// hideBoundary puts a word in the place of the boundary of a multipart message,
// which is never the same.
func hideBoundary(m message) message {
	fields := slices.Clone(m.header)
	for i, f := range fields {
		if !strings.HasPrefix(strings.ToLower(f), "content-type:") {
			continue
		}
		if b := boundaryField.FindStringSubmatch(f); b != nil {
			fields[i] = strings.ReplaceAll(f, b[1], "BOUNDARY")
			m.body = strings.ReplaceAll("\n"+m.body, "\n--"+b[1], "\n--BOUNDARY")[1:]
		}
	}
	m.header = fields
	return m
}

// row writes what the client did and what arrived. Messages that differ in
// nothing but their mailbox are shown once.
func (c client) row(out *bytes.Buffer, calls []call, got []message) {
	sent := []string{c.account() + " " + code(strings.Join(strings.Fields(c.run), " "))}
	for _, text := range sortedCalls(calls) {
		sent = append(sent, strings.ReplaceAll(text, "|", `\|`))
	}
	var texts []string
	at := make(map[string][]string)
	for _, m := range got {
		text := c.describe(m)
		if at[text] == nil {
			texts = append(texts, text)
		}
		at[text] = append(at[text], "**"+m.at+"**")
	}
	var arrived []string
	for _, text := range texts {
		slices.Sort(at[text])
		arrived = append(arrived, strings.Join(at[text], ", ")+" "+text)
	}
	slices.Sort(arrived)
	if len(arrived) == 0 {
		arrived = []string{fmt.Sprintf("nothing, exit %d", c.exit)}
	}
	fmt.Fprintf(out, "| %s | %s | %s |\n", c.name, strings.Join(sent, "<br>"), strings.Join(arrived, "<br><br>"))
}

func (c client) describe(m message) string {
	m = hideBoundary(m)
	parts := []string{"from " + code("<"+m.sender+">")}
	for _, want := range shown { // in this order: some clients have none
		for _, f := range m.header {
			if name, value, _ := strings.Cut(f, ":"); strings.EqualFold(name, want) {
				value = strings.Join(strings.Fields(value), " ")
				parts = append(parts, code(name+": "+times.ReplaceAllString(value, "TIME")))
			}
		}
	}
	body := m.body
	for _, w := range c.want {
		if w.part != "" && w.differs(m) == "" {
			body = "… " + w.part + " …"
		}
	}
	switch {
	case body == text:
		body = code("text")
	case len(body) > maxShown:
		body = code(strconv.Quote(strings.ToValidUTF8(body[:maxShown], ""))) + fmt.Sprintf(" … (%d bytes)", len(body))
	default:
		body = code(strconv.Quote(body))
	}
	return strings.Join(append(parts, body), "<br>")
}

func code(s string) string {
	return "`" + strings.ReplaceAll(strings.ReplaceAll(s, "`", "'"), "|", `\|`) + "`"
}

// compareTable compares with the table of the repository, or writes that.
func compareTable(t *testing.T, table []byte) {
	t.Helper()
	if *update {
		f := os.NewFile(3, clientsTable) // see outside
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(table, 0); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden, err := os.ReadFile(clientsTable)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(string(table), "\n")); diff != "" {
		t.Errorf("%s is out of date; if the change is meant, run with -update (-old +new):\n%s", clientsTable, diff)
	}
}
