package content

import (
	"bytes"
	"strings"
)

// Limits of MIME structure. What is beyond is not looked into.
const (
	maxParts    = 1000
	maxDepth    = 30   // multiparts in multiparts
	maxBoundary = 200  // bytes; RFC 2046 5.1.1 has 70
	maxValue    = 4096 // bytes of a field that is looked into
)

const noPart = -1

// A walker goes through a message line by line. It knows at each where in the
// structure that is, and writes the line, or what it becomes. With the same message
// it finds the same parts each time.
type walker struct {
	out    *lines
	known  []part     // what is known of the parts from a walk before
	encode []encoding // of each; nil: nothing is encoded

	parts   []part
	parents []int // of each part; noPart for the first
	current int   // part

	inHeader bool
	field    string // name of the current field, in lower case
	value    []byte // of a field that is looked into
	skip     bool   // the field is left out
	boundary string // of the multipart whose header it is
	digest   bool   // that is a digest

	stack   []multi // multiparts around
	outside bool    // between the parts of a multipart, or behind them
	enc     encoder // of the current part

	signed   bool
	replaced bool
}

// multi is a multipart that is not over.
type multi struct {
	boundary string
	part     int
	digest   bool // its parts are messages (RFC 2046 5.1.5)
}

func newWalker(out *lines, known []part, encode []encoding) *walker {
	w := &walker{out: out, known: known, encode: encode}
	w.begin(noPart)
	return w
}

// begin begins a part; false: there are too many.
func (w *walker) begin(parent int) bool {
	if len(w.parts) == maxParts {
		w.outside = true
		return false
	}
	w.parts, w.parents = append(w.parts, part{}), append(w.parents, parent)
	w.current = len(w.parts) - 1
	w.inHeader, w.outside = true, false
	w.field, w.value, w.skip, w.boundary, w.digest = "", nil, false, "", false
	return true
}

// lost notes a byte that SMTP does not carry.
func (w *walker) lost() {
	w.replaced = true
	w.parts[w.current].lossy = true
}

// encoding is what is done to the current part.
func (w *walker) encoding() encoding {
	if w.current < len(w.encode) {
		return w.encode[w.current]
	}
	return asIs
}

// piece takes a line or, if cut or not end, a part of one.
func (w *walker) piece(p []byte, cut, end bool) {
	whole := !cut && end
	switch {
	case whole && w.delimiter(p):
	case w.inHeader:
		w.headerPiece(p, cut, end)
	default:
		w.bodyPiece(p, whole, end)
	}
}

func (w *walker) raw(p []byte, end bool) {
	w.out.write(p)
	if end {
		w.out.end()
	}
}

// delimiter deals with the line in front of a part, or behind the last (RFC 2046
// 5.1.1). False: it is none.
func (w *walker) delimiter(p []byte) bool {
	if len(w.stack) == 0 || len(p) < len("--") || p[0] != '-' || p[1] != '-' {
		return false
	}
	line := string(bytes.TrimRight(p[len("--"):], " \t"))
	for i := len(w.stack) - 1; i >= 0; i-- {
		m := w.stack[i]
		closing := line == m.boundary+"--"
		if !closing && line != m.boundary {
			continue
		}
		w.endPart(true)
		w.stack = w.stack[:i+1]
		w.out.header, w.out.soft = false, false
		w.raw(p, true)
		w.inHeader = false
		if closing {
			w.stack, w.outside = w.stack[:i], true
		} else if w.begin(m.part) {
			w.digest = m.digest
		}
		return true
	}
	return false
}

func (w *walker) endPart(boundary bool) {
	if w.enc != nil {
		w.enc.finish(boundary)
		w.enc = nil
	}
}

func (w *walker) finish() {
	w.endPart(false)
	w.endField()
}

func (w *walker) headerPiece(p []byte, cut, end bool) {
	if !cut {
		switch {
		case len(p) == 0:
			w.endHeader()
			return
		case p[0] == ' ' || p[0] == '\t':
		default:
			w.beginField(p)
		}
	}
	if w.value != nil && len(w.value)+len(p) <= maxValue {
		w.value = append(append(w.value, p...), ' ')
	}
	if !w.skip {
		w.out.header, w.out.soft = true, false
		w.raw(p, end)
	}
}

func (w *walker) beginField(p []byte) {
	w.endField()
	name, _, _ := bytes.Cut(p, []byte(":"))
	w.field = strings.ToLower(string(bytes.TrimRight(name, " \t")))
	switch w.field {
	case "content-type":
		w.value = []byte{}
	case "content-transfer-encoding":
		w.value = []byte{}
		w.skip = w.encoding() != asIs
	case "mime-version":
		w.parts[w.current].mime = true
	case "dkim-signature": // RFC 6376; that of an enclosed message nobody checks
		w.signed = w.signed || w.current == 0
	}
}

// endField looks into the field that is over.
func (w *walker) endField() {
	if w.value != nil {
		_, value, _ := strings.Cut(string(w.value), ":")
		part := &w.parts[w.current]
		if w.field == "content-type" {
			w.boundary = part.setType(value)
			kind := strings.ToLower(strings.TrimSpace(value))
			w.signed = w.signed || strings.HasPrefix(kind, "multipart/signed") // RFC 1847
			w.digest = strings.HasPrefix(kind, "multipart/digest")
		} else {
			part.setLabel(value)
		}
	}
	w.field, w.value, w.skip = "", nil, false
}

// endHeader writes what the header lacks, and goes on to the body.
func (w *walker) endHeader() {
	w.endField()
	part := &w.parts[w.current]
	e := w.encoding()
	if e != asIs {
		w.complete(part, e)
	}
	w.out.header = false
	w.out.end()
	w.inHeader = false
	if w.digest && !part.typed {
		part.kind = enclosedPart
	}
	switch {
	case part.kind != multiPart && part.kind != enclosedPart:
		if e != asIs {
			w.enc = newEncoder(e, w.out)
		}
	case part.label >= labelQuoted || len(w.stack) == maxDepth:
		part.kind = opaquePart // RFC 2045 6.4 forbids that
	case part.kind == enclosedPart:
		if !w.begin(w.current) {
			part.kind, w.outside = opaquePart, false
		}
	default:
		w.stack = append(w.stack, multi{w.boundary, w.current, w.digest})
		w.outside = true
	}
}

// complete writes the fields that an encoded part needs.
func (w *walker) complete(p *part, e encoding) {
	w.out.header, w.out.soft = true, false
	parent := w.parents[w.current]
	message := parent == noPart || w.parts[parent].kind == enclosedPart
	if message && !p.mime {
		w.out.writeLine("MIME-Version: 1.0")
	}
	if !p.typed && e == quotedPrintable {
		w.out.writeLine("Content-Type: text/plain; charset=" + w.known[w.current].charset())
	}
	w.out.writeLine("Content-Transfer-Encoding: " + e.String())
}

func (w *walker) bodyPiece(p []byte, whole, end bool) {
	if whole && string(p) == "-----BEGIN PGP SIGNED MESSAGE-----" { // RFC 4880 section 7
		w.signed = true
	}
	if !w.outside {
		w.note(p, whole)
		if w.enc != nil {
			w.enc.piece(p, end)
			return
		}
	}
	w.out.header, w.out.soft = false, !w.outside && w.parts[w.current].label == labelQuoted
	w.raw(p, end)
}

// note looks at a piece of the current part, which is one of all parts around it.
func (w *walker) note(p []byte, whole bool) {
	w.parts[w.current].note(p, whole)
	if !w.parts[w.current].eightBit {
		return
	}
	for i := w.parents[w.current]; i != noPart && !w.parts[i].eightBit; i = w.parents[i] {
		w.parts[i].eightBit = true
	}
}
