//go:build system

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// debsVariable is set by a caller who keeps packages somewhere.
const debsVariable = "DMA_TEST_DEBS"

// Fetch puts Debian's packages into dir, each as NAME.deb, from where the caller
// keeps them or from Debian.
func Fetch(dir string, names []string) error {
	debs := os.Getenv(debsVariable)
	if debs == "" {
		debs = dir
	}
	for _, name := range names {
		path, err := cached(debs, name)
		if path == "" && err == nil {
			if err = download(debs, name); err != nil {
				err = errors.Join(do("apt-get", "-q", "update"), download(debs, name))
			}
			if err == nil {
				path, err = cached(debs, name)
			}
		}
		if err == nil {
			err = do("cp", path, dir+"/"+name+".deb")
		}
		if err != nil {
			return fmt.Errorf("fetch package %s: %w", name, err)
		}
	}
	return nil
}

func cached(debs, name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(debs, name+"_*.deb"))
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[len(found)-1], nil
}

func download(debs, name string) error {
	return do("sh", "-c", `cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2"`, "sh", debs, name)
}

// Unpack puts packages from Fetch onto the machine of this process, but for the
// files except. They are never installed, so nothing of them is run.
func Unpack(dir string, names []string, except ...string) error {
	args := []string{"-x", "-C", "/", "--keep-directory-symlink"}
	for _, e := range except {
		args = append(args, "--exclude=."+e)
	}
	for _, name := range names {
		if err := do("sh", append([]string{"-c", `deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | tar "$@"`, "sh", dir + "/" + name + ".deb"}, args...)...); err != nil {
			return fmt.Errorf("unpack package %s: %w", name, err)
		}
	}
	return nil
}

func do(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
