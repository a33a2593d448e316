// Package importlaw holds each program to what it may link (HACKING, Laws).
//
// The rules below are hard. The golden files NAME.txt hold the rest still: what
// a program links is reviewed when it changes. After a change that is meant,
//
//	go test ./scripts/importlaw -update
package importlaw

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// never is what no program may link: what tests alone need, and what package
// comments elsewhere warn of.
var never = []string{
	"C", "plugin", "net/smtp", "net/http", "testing",
	"github.com/emersion/go-smtp/", "github.com/google/go-cmp/", "github.com/rogpeppe/go-internal/", "pgregory.net/rapid/",
}

var programs = []struct {
	name, path string
	deny       []string // packages; with a trailing slash also whatever is below
	thirdParty []string // what it may link, likewise; nil means any
}{
	{"dma-queue", "dma/dma-queue", []string{"net", "regexp", "crypto/tls", "os/user", "os/exec"}, []string{"golang.org/x/sys/"}},
	{"dma-spawn", "dma/dma-spawn", []string{"net", "regexp", "crypto/tls", "os/user", "dma/dma-queue/internal/"}, []string{"golang.org/x/sys/"}},
	{"dma-queue-runner", "dma/dma-queue/runner", []string{"net", "crypto/tls", "os/user", "os/exec"}, nil},
	{"dma-forward", "dma/dma-forward", []string{"net", "crypto/tls", "os/user", "os/exec"}, nil},
	{"dma-local", "dma/dma-local", []string{"net", "crypto/tls", "os/user"}, nil},
	{"dma-remote", "dma/dma-remote", []string{"os/exec", "os/user", "dma/dma-queue/"}, nil},
}

func TestImportLaw(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			deps := dependencies(t, p.path)
			for _, dep := range deps {
				foreign := p.thirdParty != nil && thirdParty(dep) && !matches(dep, p.thirdParty)
				if foreign || matches(dep, never) || matches(dep, p.deny) {
					t.Errorf("%s links %s", p.name, dep)
				}
			}
			checkGolden(t, p.name+".txt", strings.Join(deps, "\n")+"\n")
		})
	}
}

func matches(pkg string, rules []string) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		return pkg == strings.TrimSuffix(rule, "/") || strings.HasSuffix(rule, "/") && strings.HasPrefix(pkg, rule)
	})
}

// thirdParty: the standard library's packages have no dot in their first element, ours begin with dma.
func thirdParty(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return strings.Contains(first, ".")
}

// dependencies lists what the program at path links on Linux. The standard
// library's own internal packages change with every release and are left out.
func dependencies(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list what %s links: %v", path, err)
	}
	deps := strings.Fields(string(out))
	slices.Sort(deps)
	return slices.DeleteFunc(deps, func(pkg string) bool {
		own := strings.HasPrefix(pkg, "dma/") || thirdParty(pkg)
		return !own && (slices.Contains(strings.Split(pkg, "/"), "internal") || strings.HasPrefix(pkg, "vendor/"))
	})
}

func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	old, now := strings.Fields(string(want)), strings.Fields(got)
	for _, pkg := range now {
		if !slices.Contains(old, pkg) {
			t.Errorf("newly linked: %s", pkg)
		}
	}
	for _, pkg := range old {
		if !slices.Contains(now, pkg) {
			t.Errorf("no longer linked: %s", pkg)
		}
	}
	t.Errorf("%s is out of date; if the change is meant, run with -update", file)
}
