package mbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dma/dma-local/internal/letter"
)

var errFault = errors.New("injected fault")

// faultyFile fails at the n-th step, or at all from the n-th step on.
type faultyFile struct {
	*os.File
	fail  map[int]bool
	steps []string
}

func (f *faultyFile) step(name string) error {
	f.steps = append(f.steps, name)
	if f.fail[len(f.steps)] {
		return errFault
	}
	return nil
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.step("write"); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.step("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.step("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.step("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

// appendFaulty appends three letters to a torn mailbox, and returns the errors,
// the steps taken and what the mailbox holds then.
func appendFaulty(t *testing.T, fail map[int]bool) (errs []error, steps []string, holds string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "box")
	if err := os.WriteFile(path, []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, openFlags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file := &faultyFile{File: f, fail: fail}
	errs = appendAll(file, int64(len(torn)), []letter.Letter{letterOf(faultText(0)), letterOf(faultText(1)), letterOf(faultText(2))}, noon)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return errs, file.steps, string(text)
}

const torn = "From x\n\ntorn"

func faultText(i int) string { return fmt.Sprintf("\n%d\n%s", i, strings.Repeat("x\n", 70_000)) }

// whole is what the mailbox should hold after errs.
func whole(errs []error) string {
	var b strings.Builder
	b.WriteString(torn)
	for i, err := range errs {
		if err != nil {
			continue
		}
		if b.Len() == len(torn) {
			b.WriteString("\n\n")
		}
		b.WriteString(entryHead + faultText(i) + "\n")
	}
	return b.String()
}

// TestFaults makes every step of an append fail, one at a time, and one and all
// that come after it: the mailbox holds exactly what was reported as delivered,
// unless it was impossible to cut off what is not.
func TestFaults(t *testing.T) {
	errs, steps, holds := appendFaulty(t, nil)
	if errors.Join(errs...) != nil || holds != whole(errs) {
		t.Fatalf("without a fault: %v", errs)
	}
	if last := steps[len(steps)-1]; last != "sync" || len(steps) < 10 {
		t.Fatalf("steps: %v", steps)
	}
	for n := 1; n <= len(steps); n++ {
		errs, did, holds := appendFaulty(t, map[int]bool{n: true})
		if holds != whole(errs) {
			t.Errorf("%s fails as step %d: mailbox does not fit %v", steps[n-1], n, errs)
		}
		failed := 0
		for _, err := range errs {
			if err != nil {
				failed++
			}
			if err != nil && !errors.Is(err, errFault) {
				t.Errorf("%s fails as step %d: cause is missing in %v", steps[n-1], n, err)
			}
		}
		if failed != 1 && (steps[n-1] != "sync" || failed != 3) {
			t.Errorf("%s fails as step %d: errors %v", steps[n-1], n, errs)
		}
		if did[len(did)-1] != "sync" {
			t.Errorf("%s fails as step %d: the end is %v", steps[n-1], n, did)
		}

		rest := map[int]bool{}
		for i := n; i < n+100; i++ {
			rest[i] = true
		}
		errs, did, holds = appendFaulty(t, rest)
		for _, err := range errs {
			if err == nil { // the last sync failed, so nothing is done
				t.Errorf("%v fail: errors %v", did[n-1:], errs)
			}
		}
		if !strings.HasPrefix(holds, torn) {
			t.Errorf("%v fail: old mail is gone", did[n-1:])
		}
	}
}

// TestTruncateFails: nothing is appended behind half a letter.
func TestTruncateFails(t *testing.T) {
	_, steps, _ := appendFaulty(t, nil)
	writes := 0
	for n, name := range steps {
		if name != "write" {
			continue
		}
		writes++
		errs, _, holds := appendFaulty(t, map[int]bool{n + 1: true, n + 2: true})
		good := 0
		for good < len(errs) && errs[good] == nil {
			good++
		}
		for _, err := range errs[good:] {
			if err == nil {
				t.Errorf("write %d fails: letter delivered behind a torn one: %v", writes, errs)
			}
		}
		if want := whole(errs); !strings.HasPrefix(holds, want) {
			t.Errorf("write %d fails: letters before it are not whole", writes)
		}
	}
}
