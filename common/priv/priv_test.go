package priv

import (
	"testing"
)

func TestIdentity(t *testing.T) {
	plain := func(u, g int) identity { return identity{uid: [3]int{u, u, u}, gid: [3]int{g, g, g}} }
	tests := []struct {
		name   string
		id     identity
		uid    uint32
		groups []int
		ok     bool
	}{
		{"as it must be", plain(5, 6), 5, []int{6}, true},
		{"no group at all", plain(5, 6), 5, nil, true},
		{"anybody", plain(5, 6), 0, []int{6}, true},
		{"root", plain(0, 6), 0, []int{6}, false},
		{"group of root", plain(5, 0), 5, []int{0}, false},
		{"somebody else", plain(5, 6), 7, []int{6}, false},
		{"another group", plain(5, 6), 5, []int{6, 7}, false},
		{"group of root besides", plain(5, 6), 5, []int{0}, false},
		{"real uid is root", identity{uid: [3]int{0, 5, 5}, gid: [3]int{6, 6, 6}}, 5, nil, false},
		{"effective uid is root", identity{uid: [3]int{5, 0, 5}, gid: [3]int{6, 6, 6}}, 5, nil, false},
		{"saved uid is root", identity{uid: [3]int{5, 5, 0}, gid: [3]int{6, 6, 6}}, 5, nil, false},
		{"effective gid differs", identity{uid: [3]int{5, 5, 5}, gid: [3]int{6, 7, 6}}, 5, nil, false},
		{"saved gid differs", identity{uid: [3]int{5, 5, 5}, gid: [3]int{6, 6, 7}}, 5, nil, false},
		{"capabilities", identity{uid: [3]int{5, 5, 5}, gid: [3]int{6, 6, 6}, capabilities: true}, 5, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.id.check(tt.uid, tt.groups); (err == nil) != tt.ok {
				t.Errorf("error %v, want success %v", err, tt.ok)
			}
		})
	}
}
