package content

import "bytes"

// An input takes the bytes of a message in any portions and hands on lines, those
// over MaxLine bytes in pieces.
type input struct {
	w    *walker
	line []byte // what is known of the current piece
	cr   bool   // a CR came whose next byte is not known yet
	cut  bool   // the piece is not the first of its line
}

func (in *input) add(p []byte) {
	for len(p) > 0 {
		if in.cr {
			in.cr = false
			if p[0] != '\n' {
				in.replace(' ')
			}
		}
		// What needs no thought is taken at a stroke, but not looked at again and
		// again for the sake of a few bytes.
		plain := p[:min(len(p), MaxLine)]
		for _, b := range []byte("\n\r\x00") {
			if n := bytes.IndexByte(plain, b); n >= 0 {
				plain = plain[:n]
			}
		}
		in.put(plain)
		if p = p[len(plain):]; len(p) == 0 || len(plain) == MaxLine {
			continue
		}
		switch p[0] {
		case '\n':
			in.end()
		case '\r':
			in.cr = true
		case 0:
			in.replace('?')
		}
		p = p[1:]
	}
}

func (in *input) replace(b byte) {
	in.w.lost()
	in.put([]byte{b})
}

func (in *input) put(p []byte) {
	for len(p) > 0 {
		if len(in.line) == MaxLine {
			in.w.piece(in.line, in.cut, false)
			in.line, in.cut = in.line[:0], true
		}
		n := min(len(p), MaxLine-len(in.line))
		in.line = append(in.line, p[:n]...)
		p = p[n:]
	}
}

func (in *input) end() {
	in.w.piece(in.line, in.cut, true)
	in.line, in.cut = in.line[:0], false
}

func (in *input) finish() {
	if in.cr {
		in.cr = false
		in.replace(' ')
	}
	if len(in.line) > 0 || in.cut {
		in.end()
	}
	in.w.finish()
}
