package role

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"dma/common/passwd"
	"dma/common/site"
	"dma/dma-spawn/internal/child"
)

// Asking getent.
const (
	getentPath   = "/usr/bin/getent"
	getentLimit  = 5 * time.Second
	getentOutput = 4 << 10 // bytes
	getentNone   = 2       // exit code for "no such key", getent(1)
)

// Find looks login up: in the password file and, if accounts come from elsewhere
// too, by asking getent (RULES B1).
func (a Accounts) Find(login string) (passwd.Account, error) {
	found, err := passwd.Lookup(site.Passwd, login)
	number := strings.Trim(login, "0123456789") == "" // which getent would take for a uid
	if !errors.Is(err, passwd.ErrNotFound) || number || site.Private() || passwd.OnlyFiles(site.Nsswitch) {
		return found, err
	}
	return a.getent(login)
}

// getent runs libraries that may be large and ask the network, so it runs with
// no rights: as nobody, but with the queue's group, so that neither other
// processes of nobody's nor the queue can trace it and forge its answer.
func (a Accounts) getent(login string) (passwd.Account, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return passwd.Account{}, err
	}
	defer r.Close()
	args := []string{"getent", "passwd", "--", login}
	p, err := child.Start(getentPath, args, a.Nobody.UID, a.Queue.GID, []*os.File{os.Stdin, w, os.Stderr})
	w.Close()
	if err != nil {
		return passwd.Account{}, err
	}
	kill := time.AfterFunc(getentLimit, func() { _ = p.Kill() })
	defer kill.Stop()
	// Should something else hold the pipe open, the kill alone would not end this.
	if err := r.SetReadDeadline(time.Now().Add(getentLimit)); err != nil {
		_ = p.Kill()
	}
	out, rerr := io.ReadAll(io.LimitReader(r, getentOutput+1))
	if rerr != nil || len(out) > getentOutput {
		_ = p.Kill()
	}
	state, err := p.Wait()
	if err = errors.Join(rerr, err); err != nil {
		return passwd.Account{}, fmt.Errorf("run getent: %w", err)
	}
	return answer(state.ExitCode(), string(out))
}

// answer makes sense of what getent said.
func answer(code int, out string) (passwd.Account, error) {
	line, ok := strings.CutSuffix(out, "\n")
	switch {
	case code == getentNone && out == "":
		return passwd.Account{}, passwd.ErrNotFound
	case code != 0:
		return passwd.Account{}, fmt.Errorf("run getent: exit code %d", code)
	case !ok || strings.Contains(line, "\n") || len(out) > getentOutput:
		return passwd.Account{}, errors.New("run getent: its output is not one line")
	}
	found, err := passwd.ParseLine(line)
	if err != nil {
		return passwd.Account{}, fmt.Errorf("run getent: %w", err)
	}
	return found, nil
}
