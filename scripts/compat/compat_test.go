//go:build system

package compat

import (
	"testing"
)

// Every case comes to the same with both mailers, but for what is listed.
func TestCases(t *testing.T) {
	cases := allCases()
	found := make(map[string][]string)
	for i, c := range cases {
		d, s := reports[debian].Results[c.name], reports[suite].Results[c.name]
		if d == nil || s == nil {
			continue // of a batch for one of them
		}
		found[c.name] = compare(normal(i, d), normal(i, s))
	}
	if len(found) < 150 {
		t.Errorf("only %d cases", len(found))
	}
	unlisted, stale := account(listed(t), found)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, line := range unlisted[c.name] {
				t.Errorf("not listed: %s", line)
			}
			if t.Failed() {
				t.Logf("%q\ndma: exit %d, %s\nsuite: exit %d, %s", c.argv(),
					reports[debian].Results[c.name].Exit, reports[debian].Results[c.name].Stderr,
					reports[suite].Results[c.name].Exit, reports[suite].Results[c.name].Stderr)
			}
		})
	}
	for _, line := range stale {
		t.Errorf("listed difference: %s", line)
	}
	for mailer, r := range reports {
		for _, s := range r.Stray {
			t.Errorf("%s: nobody's mail: %s", mailer, s)
		}
	}
}

// TestTime shows where the time goes.
func TestTime(t *testing.T) {
	for _, b := range batches() {
		t.Logf("%-30s %6.1fs %6.1fs", b.name, reports[debian].Time[b.name].Seconds(), reports[suite].Time[b.name].Seconds())
	}
}
