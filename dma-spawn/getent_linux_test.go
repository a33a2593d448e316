package main

import (
	"os"
	"testing"

	"dma/proto"

	"golang.org/x/sys/unix"
)

// fakeGetent is what a broken or taken-over name service might say.
const fakeGetent = `#!/bin/sh
[ "$1 $2" = "passwd --" ] || exit 1
case $3 in
me) echo "me:x:$(id -u):$(id -g)::/$(id -G | tr ' ' /):/bin/sh" ;;
gone) exit 2 ;;
saidgone) echo x; exit 2 ;;
failed) exit 1 ;;
killed) kill -9 $$ ;;
liar) echo "alice:x:64001:64001::/home/alice:/bin/sh" ;;
two) echo "two:x:64001:64001::/home/alice:/bin/sh"; echo "two:x:0:0::/:/bin/sh" ;;
cut) printf "cut:x:64001:64001::/home/alice:/bin/sh" ;;
junk) echo "junk" ;;
flood) yes ;;
slow) exec >&-; sleep 60 ;;
holds) sleep 60 & ;;
env) echo "env:x:64001:64001::/$(tr '\0' '/' </proc/$$/environ):/bin/sh" ;;
*) exit 2 ;;
esac
`

func (h *host) testGetent(t *testing.T) {
	if err := os.WriteFile(h.base+"/getent", []byte(fakeGetent), 0o755); err != nil {
		t.Fatal(err)
	}
	mount(t, h.base+"/getent", "/usr/bin/getent", "", unix.MS_BIND)
	later := func(login string) expect {
		return expect{name: login, role: proto.RoleForward, login: login, refused: proto.RefusedLater, text: "look up " + login}
	}
	table := []expect{
		{
			name: "identity", role: proto.RoleForward, login: "me", program: "dma-forward", uid: nobodyID, gid: queueID,
			hello: proto.Hello{Login: "me", UID: nobodyID, Home: "/64011", Shell: "/bin/sh", Queue: queueID},
		},
		{
			name: "environment", role: proto.RoleForward, login: "env", program: "dma-forward", uid: aliceID, gid: aliceID,
			hello: proto.Hello{Login: "env", UID: aliceID, Home: "/", Shell: "/bin/sh", Queue: queueID},
		},
		{name: "gone", role: proto.RoleForward, login: "gone", refused: proto.RefusedUnknown},
		later("saidgone"), later("failed"), later("killed"), later("liar"), later("two"), later("cut"), later("junk"), later("flood"),
	}
	if !testing.Short() {
		table = append(table, later("slow"), later("holds"))
	}
	h.check(t, table, 0, 0)
}
