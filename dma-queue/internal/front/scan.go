package front

import (
	"strings"

	"dma/common/sysexits"
)

// scan goes through args as getopt(3) does by POSIX: options end at the first
// word that is none, or behind --. It calls option for each one and returns the
// rest. A long option has letter 0; those that long marks with ":" have an
// argument, behind = or as the next word, the others one only behind =.
func scan(args []string, letters string, long map[string]string, option func(letter byte, name, arg string) error) ([]string, error) {
	for len(args) > 0 {
		word := args[0]
		if len(word) < 2 || word[0] != '-' {
			break
		}
		args = args[1:]
		if word == "--" {
			break
		}
		if name, ok := strings.CutPrefix(word, "--"); ok {
			name, arg, given := strings.Cut(name, "=")
			if long[name] == ":" && !given {
				if len(args) == 0 {
					return nil, failf(sysexits.Usage, "option --%s needs an argument", name)
				}
				arg, args = args[0], args[1:]
			}
			if err := option(0, name, arg); err != nil {
				return nil, err
			}
			continue
		}
		for i := 1; i < len(word); i++ {
			letter, arg := word[i], ""
			switch takes(letters, letter) {
			case ':':
				if arg = word[i+1:]; arg == "" {
					if len(args) == 0 {
						return nil, failf(sysexits.Usage, "option -%c needs an argument", letter)
					}
					arg, args = args[0], args[1:]
				}
				i = len(word)
			case '?':
				arg = word[i+1:]
				i = len(word)
			}
			if err := option(letter, "", arg); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}

// takes says what an option takes: ':', '?' or nothing.
func takes(letters string, letter byte) byte {
	if i := index(letters, letter); i >= 0 && i+1 < len(letters) {
		return letters[i+1]
	}
	return 0
}

func index(letters string, letter byte) int {
	if letter == ':' || letter == '?' {
		return -1
	}
	return strings.IndexByte(letters, letter)
}
