//go:build system

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// powerCuts is how often the power goes for each file system and caller.
const powerCuts = 8

const unsyncedSize = 5000

// TestPowerCut copies a file system the moment that some front ends have exited
// with 0, as a power cut would leave its disk, mounts the copy, and looks for
// their messages (RULES A4). The callers are a user, whose front end cannot open
// incoming and relies on the file's own sync for its name, and root, whose front
// end syncs the directory as well.
func TestPowerCut(t *testing.T) {
	f := newFrontEnd(t)
	for name, mkfs := range map[string]string{
		"ext4":  "mkfs.ext4 -q -F -E lazy_itable_init=1",
		"xfs":   "mkfs.xfs -q -f",
		"btrfs": "mkfs.btrfs -q -f",
	} {
		for _, uid := range []uint32{aliceID, 0} {
			t.Run(fmt.Sprintf("%s, uid %d", name, uid), func(t *testing.T) {
				image := f.root + "/image"
				makeImage(t, image, strings.Fields(mkfs))
				f.mount(t, image)
				t.Cleanup(f.unmount)
				f.makeSpool(t)
				var tokens []string
				unsynced := 0
				for cut := range powerCuts {
					tokens = append(tokens, f.burst(t, uid, cut)...)
					// The proof that the copy is one of the disk and not of what the
					// kernel remembers: a file that nobody synced is not in it.
					must(t, os.WriteFile(f.root+"/spool/unsynced", bytes.Repeat([]byte("u"), unsyncedSize), 0o600))
					copyImage(t, image, image+".cut")
					f.unmount()
					must(t, os.Rename(image+".cut", image))
					f.mount(t, image) // which repairs it, as a boot would
					if f.afterCut(t, tokens) {
						unsynced++
					}
				}
				if unsynced > powerCuts/2 { // the kernel may write at any time
					t.Errorf("%d of %d unsynced files survived: the test shows nothing", unsynced, powerCuts)
				}
				t.Logf("%d messages, %d power cuts, nothing lost; %d unsynced files survived", len(tokens), powerCuts, unsynced)
			})
		}
	}
}

func makeImage(t *testing.T, image string, mkfs []string) {
	t.Helper()
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 400<<20))
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs[0], err, out)
	}
}

func (f *frontEnd) mount(t *testing.T, image string) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", "loop", image, f.root+"/spool").CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", image, err, out)
	}
}

func (f *frontEnd) unmount() { exec.Command("umount", f.root+"/spool").Run() }

// burst submits some messages side by side and returns what they say, once each
// of their front ends has exited with 0.
func (f *frontEnd) burst(t *testing.T, uid uint32, cut int) (tokens []string) {
	t.Helper()
	var all []*exec.Cmd
	for i := range 1 + cut%4 { // alone, nothing but its own sync can have saved it
		token := fmt.Sprintf("token %d.%d.", cut, i)
		tokens = append(tokens, token)
		c := f.sendmail(uid, token+"\n"+strings.Repeat("x", rand.IntN(100000))+"\n", "-bq", "far@remote.example")
		must(t, c.Start())
		all = append(all, c)
	}
	for _, c := range all {
		must(t, c.Wait())
	}
	return tokens
}

// copyImage copies all that the disk holds now, holes left out.
func copyImage(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", "--reflink=never", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
}

// afterCut checks that each message is there, once and whole. It reports whether
// the unsynced file is there too, and removes it.
func (f *frontEnd) afterCut(t *testing.T, tokens []string) bool {
	t.Helper()
	whole, others := submitted(t, f.root+"/spool/incoming")
	count := make(map[string]int)
	for _, m := range whole {
		first, _, _ := strings.Cut(m.text, "\n")
		count[first]++
	}
	for _, token := range tokens {
		if count[token] != 1 {
			t.Errorf("%s is there %d times", token, count[token])
		}
	}
	for _, err := range others {
		t.Errorf("incoming holds something else: %v", err)
	}
	b, err := os.ReadFile(f.root + "/spool/unsynced")
	os.Remove(f.root + "/spool/unsynced")
	return err == nil && bytes.Count(b, []byte("u")) == unsyncedSize
}
