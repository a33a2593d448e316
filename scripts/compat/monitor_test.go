//go:build system

package compat

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// monitored are the formats of mailq that check_mailq of monitoring-plugins reads.
var monitored = []string{"postfix", "sendmail"}

// installMonitor makes a check_mailq for each format, which calls a mailq that
// prints it: what to call stands in a file beside the plugin.
func installMonitor() error {
	const plugins = "/usr/lib/nagios/plugins"
	for _, format := range monitored {
		dir := monitorDir(format)
		if err := do("mkdir", "-p", dir); err != nil {
			return err
		}
		if err := do("cp", plugins+"/check_mailq", plugins+"/utils.pm", dir); err != nil {
			return err
		}
		script := "#!/bin/sh\nexec /usr/bin/mailq --format=" + format + "\n"
		if err := os.WriteFile(dir+"/mailq", []byte(script), 0o755); err != nil {
			return err
		}
		utils, err := os.ReadFile(dir + "/utils.pm")
		if err != nil {
			return err
		}
		changed := strings.Replace(string(utils), `"/usr/bin/mailq"`, `"`+dir+`/mailq"`, 1)
		if changed == string(utils) {
			return fmt.Errorf("%s/utils.pm does not name mailq", dir)
		}
		if err := os.WriteFile(dir+"/utils.pm", []byte(changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func monitorDir(format string) string { return "/usr/local/lib/check-" + format }

// monitorChecks are what is asked of check_mailq, and its answers.
var monitorChecks = []struct {
	queue, thresholds, want string
	exit                    int
}{
	{"empty", "-w 1 -c 5", "OK: * is empty", 0},
	{"full", "-w 10 -c 20", "OK: * mailq (2) is below threshold (10/20)", 0},
	{"full", "-w 1 -c 5", "WARNING: * mailq is 2 (threshold w = 1)", 1},
	{"full", "-w 1 -c 2", "CRITICAL: * mailq is 2 (threshold c = 2)", 2},
}

// monitorBatches have nothing in the queue, and two messages to three recipients.
func monitorBatches() []batch {
	empty := batch{name: "monitor empty", only: suite, conf: smarthost, aliases: usualAliases}
	full := batch{
		name: "monitor full", only: suite, conf: smarthost, aliases: usualAliases, answers: busy,
		cases: []testCase{
			{name: "monitor-send-one", line: "x@far.example"},
			{name: "monitor-send-two", line: "y@far.example z@far.example"},
		},
	}
	for _, check := range monitorChecks {
		for _, format := range monitored {
			c := testCase{
				name: monitorName(check.queue, check.thresholds, format), as: asRoot, looks: true, in: nothing,
				line: monitorDir(format) + "/check_mailq -M " + format + " " + check.thresholds,
			}
			if check.queue == "empty" {
				empty.after = append(empty.after, c)
			} else {
				full.after = append(full.after, c)
			}
		}
	}
	return []batch{empty, full}
}

func monitorName(queue, thresholds, format string) string {
	return strings.ReplaceAll(strings.Join([]string{"monitor", queue, format, thresholds}, "-"), " ", "")
}

// check_mailq counts messages, not recipients.
func TestMonitoringPlugin(t *testing.T) {
	for _, check := range monitorChecks {
		for _, format := range monitored {
			t.Run(check.queue+" "+check.thresholds+" "+format, func(t *testing.T) {
				r := reports[suite].Results[monitorName(check.queue, check.thresholds, format)]
				said, _, _ := strings.Cut(strings.TrimSuffix(r.Stdout, "\n"), "|")
				if r.Exit != check.exit || !glob(check.want, said) {
					t.Errorf("exit %d, %q, want %d, %q\n%s", r.Exit, r.Stdout, check.exit, check.want, r.Stderr)
				}
			})
		}
	}
}
