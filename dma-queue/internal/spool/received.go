package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What OpenIncoming says about a file that is no submission.
var (
	// ErrIncomplete: the writer died, or is at work if the file is locked.
	ErrIncomplete = errors.New("submission was not completed")
	// ErrAbandoned: the writer gave up; there is nothing in the file.
	ErrAbandoned = errors.New("submission was given up")
	// ErrDamaged: the file is no submission, or not any more.
	ErrDamaged = errors.New("not an intact submission")
	// ErrVersion: another version of this program wrote it.
	ErrVersion = errors.New("submission in the format of another version")
)

// Received is a complete submission, as the runner reads it. Its envelope is
// checked; its message is only after Verify, or when Reader has come to its end.
type Received struct {
	Submission
	UID     uint32            // who submitted it: the owner of the file
	Arrived time.Time         // when it was last written to
	Message *io.SectionReader // the message alone, with LF line ends
	Size    int64             // of the message

	envelopeSum uint32
	sum         uint32
}

// OpenIncoming reads the envelope of the submission in f, which stays the
// caller's and open for as long as the message is used. The errors are those
// above, or of the system.
func OpenIncoming(f *os.File) (*Received, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if err := checkStat(&st); err != nil {
		return nil, err
	}
	var header [headerSize]byte
	if n, err := f.ReadAt(header[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < headerSize {
		return nil, ErrIncomplete
	}
	envelope, message, sum, err := parseHeader(header, st.Size)
	if err != nil {
		return nil, err
	}
	b := make([]byte, envelope)
	if _, err := io.ReadFull(io.NewSectionReader(f, headerSize, envelope), b); err != nil {
		return nil, fmt.Errorf("read envelope of %s: %w", f.Name(), err)
	}
	s, err := parseSubmission(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &Received{
		Submission:  s,
		UID:         st.Uid,
		Arrived:     time.Unix(st.Mtim.Unix()),
		Message:     io.NewSectionReader(f, headerSize+envelope, message),
		Size:        message,
		envelopeSum: Checksum(0, b),
		sum:         sum,
	}, nil
}

// checkStat: nobody but the front end can make a file that passes, as nobody
// else can make one in incoming; what does not is no submission of ours.
func checkStat(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a regular file", ErrDamaged)
	case st.Nlink != 1:
		return fmt.Errorf("%w: %d links", ErrDamaged, st.Nlink)
	case st.Mode&0o7777&^incomingMode != 0:
		return fmt.Errorf("%w: mode %04o", ErrDamaged, st.Mode&0o7777)
	}
	return nil
}

// parseHeader takes the header of a file of size bytes apart.
func parseHeader(h [headerSize]byte, size int64) (envelope, message int64, sum uint32, err error) {
	if h == [headerSize]byte{} {
		if size == headerSize {
			return 0, 0, 0, ErrAbandoned
		}
		return 0, 0, 0, ErrIncomplete
	}
	f := bytes.Fields(h[:])
	if len(f) < 2 || string(f[0]) != incomingMagic {
		return 0, 0, 0, fmt.Errorf("%w: unknown header", ErrDamaged)
	}
	if string(f[1]) != "1" {
		return 0, 0, 0, fmt.Errorf("%w: %q", ErrVersion, f[1])
	}
	if len(f) != 5 {
		return 0, 0, 0, fmt.Errorf("%w: malformed header", ErrDamaged)
	}
	envelope, err1 := strconv.ParseInt(string(f[2]), 10, 64)
	message, err2 := strconv.ParseInt(string(f[3]), 10, 64)
	sum64, err3 := strconv.ParseUint(string(f[4]), 16, 32)
	switch {
	case errors.Join(err1, err2, err3) != nil || !bytes.Equal(appendHeader(nil, envelope, message, uint32(sum64)), h[:]):
		err = fmt.Errorf("%w: malformed header", ErrDamaged)
	case envelope < 0 || message < 0 || envelope > MaxEnvelope:
		err = fmt.Errorf("%w: envelope of %d bytes", ErrDamaged, envelope)
	case size != headerSize+envelope+message:
		err = fmt.Errorf("%w: %d bytes where there should be %d", ErrDamaged, size, headerSize+envelope+message)
	}
	return envelope, message, uint32(sum64), err
}

// Reader reads the message from its start. Instead of io.EOF it ends with
// ErrDamaged if the checksum is wrong or bytes are missing.
func (r *Received) Reader() io.Reader {
	return &sumReader{r.message(), r.envelopeSum, r.sum, r.Size}
}

func (r *Received) message() io.Reader { return io.NewSectionReader(r.Message, 0, r.Size) }

// Verify reads the message and checks it.
func (r *Received) Verify() error {
	_, err := io.Copy(io.Discard, r.Reader())
	return err
}

type sumReader struct {
	r         io.Reader
	sum, want uint32
	left      int64
}

func (s *sumReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum = Checksum(s.sum, p[:n])
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && (s.left != 0 || s.sum != s.want) {
		return n, fmt.Errorf("%w: checksum of the message", ErrDamaged)
	}
	return n, err
}
