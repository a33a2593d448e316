// Package etc has the configuration files that make install puts where there are none.
package etc

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dma/common/conf"
)

// TestTemplate: packagers uncomment lines with sed, so each key is on a line of
// its own, right after the #, with a value that is understood; dma.conf(5) and
// the template have the same keys; and the template as it is changes nothing.
func TestTemplate(t *testing.T) {
	template, err := os.ReadFile("dma.conf")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../common/conf/dma.conf.5")
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for _, m := range regexp.MustCompile(`(?m)^#([A-Z_]+)( .*)?$`).FindAllSubmatch(template, -1) {
		have = append(have, string(m[1]))
		line := strings.TrimPrefix(string(m[0]), "#")
		_, warnings, err := conf.Parse(strings.NewReader(line), "dma.conf")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			if strings.Contains(w.Text, "unknown") || strings.Contains(w.Text, "ignored") || strings.Contains(w.Text, "waits until") || strings.Contains(w.Text, "takes no value") {
				t.Errorf("%q: %s", line, w.Text)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Ic ([A-Z_]+)(.*)$`).FindAllSubmatch(manual, -1) {
		want = append(want, string(m[1]))
	}
	for _, key := range have {
		if !slices.Contains(want, key) && !strings.Contains(string(manual), key) {
			t.Errorf("%s is not in dma.conf(5)", key)
		}
	}
	for _, key := range want {
		if !slices.Contains(have, key) {
			t.Errorf("%s is not in the template", key)
		}
	}
	for line := range strings.Lines(string(template)) {
		if strings.TrimSpace(line) != "" && line[0] != '#' {
			t.Errorf("%q is in force", line)
		}
	}
}

// TestNoCredentials: auth.conf comes with comments alone.
func TestNoCredentials(t *testing.T) {
	b, err := os.ReadFile("auth.conf")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line[0] != '#' {
			t.Errorf("%q is in force", line)
		}
	}
}
