package mapping

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// Charset is how a text file is written.
type Charset uint8

// The charsets that are read. GB18030 includes GBK and GB 2312.
const (
	UTF8 Charset = iota + 1
	UTF8BOM
	GB18030
)

// String names the charset.
func (c Charset) String() string {
	switch c {
	case UTF8:
		return "utf-8"
	case UTF8BOM:
		return "utf-8-bom"
	case GB18030:
		return "gb18030"
	}
	return "unknown"
}

// ParseCharset is the inverse of String.
func ParseCharset(name string) (Charset, error) {
	for _, c := range []Charset{UTF8, UTF8BOM, GB18030} {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q is not utf-8, utf-8-bom or gb18030", name)
}

// CharsetError says why a file's charset cannot be decided.
type CharsetError struct {
	// Offset is the byte at which the last charset was ruled out.
	Offset int64
	Zh, En string
}

// Error implements error.
func (e *CharsetError) Error() string { return fmt.Sprintf("%s (byte %d)", e.En, e.Offset) }

var (
	bom     = []byte("\xEF\xBB\xBF")
	utf16le = []byte("\xFF\xFE")
	utf16be = []byte("\xFE\xFF")
)

// chunkBytes is the reading unit of Detect.
const chunkBytes = 64 << 10

// Detect reads r to its end and decides: byte order mark, else strictly UTF-8, else strictly GB18030, else
// *CharsetError. Nothing is guessed from frequencies: a file of two characters is decided like a large one. UTF-16,
// and text with NUL bytes, are refused.
func Detect(r io.Reader) (Charset, error) {
	var d detector
	buf := make([]byte, 0, chunkBytes+4)
	first, hasBOM := true, false
	for {
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+chunkBytes])
		buf = buf[:len(buf)+n]
		atEOF := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !atEOF {
			return 0, err
		}
		if first {
			first = false
			if bytes.HasPrefix(buf, utf16le) || bytes.HasPrefix(buf, utf16be) {
				return 0, &CharsetError{Zh: "文件是UTF-16编码;请另存为UTF-8或GB18030", En: "the file is UTF-16; save it as UTF-8 or GB18030"}
			}
			if hasBOM = bytes.HasPrefix(buf, bom); hasBOM {
				d.offset = int64(len(bom))
				buf = buf[:copy(buf, buf[len(bom):])]
			}
		}
		rest := d.take(buf, atEOF)
		if bad := d.verdict(hasBOM); bad != nil {
			return 0, bad
		}
		buf = buf[:copy(buf, buf[len(buf)-rest:])]
		if atEOF {
			break
		}
	}
	switch {
	case hasBOM:
		return UTF8BOM, nil
	case d.notUTF8 == nil:
		return UTF8, nil
	}
	return GB18030, nil
}

// detector rules charsets out as bytes pass.
type detector struct {
	offset         int64 // of the next byte in the file
	utf8At, gbAt   int64 // bytes of the file already checked under each charset
	notUTF8, notGB *int64
	nul            *int64
}

// take checks what it can of b and returns how many bytes at its end must come again.
func (d *detector) take(b []byte, atEOF bool) (rest int) {
	if i := bytes.IndexByte(b, 0); i >= 0 && d.nul == nil {
		at := d.offset + int64(i)
		d.nul = &at
	}
	end := d.offset + int64(len(b))
	next := end
	if d.notUTF8 == nil {
		d.utf8At = max(d.utf8At, d.offset)
		n, bad := validUTF8(b[d.utf8At-d.offset:], atEOF)
		d.utf8At += int64(n)
		if bad {
			at := d.utf8At
			d.notUTF8 = &at
		} else {
			next = min(next, d.utf8At)
		}
	}
	if d.notGB == nil {
		d.gbAt = max(d.gbAt, d.offset)
		n, bad := validGB18030(b[d.gbAt-d.offset:], atEOF)
		d.gbAt += int64(n)
		if bad {
			at := d.gbAt
			d.notGB = &at
		} else {
			next = min(next, d.gbAt)
		}
	}
	d.offset = next
	return int(end - next)
}

func (d *detector) verdict(hasBOM bool) error {
	switch {
	case d.nul != nil:
		return &CharsetError{Offset: *d.nul, Zh: "文件含有空字节,不是文本文件", En: "the file holds NUL bytes, it is not a text file"}
	case hasBOM && d.notUTF8 != nil:
		return &CharsetError{Offset: *d.notUTF8, Zh: "文件开头标明UTF-8,其后却有非UTF-8的字节;请用同一编码另存",
			En: "the file is marked as UTF-8 but holds bytes that are not; save it again in one charset"}
	case d.notUTF8 != nil && d.notGB != nil:
		return &CharsetError{Offset: max(*d.notUTF8, *d.notGB), Zh: "文件既不是UTF-8也不是GB18030,可能混用了两种编码;请用同一编码另存",
			En: "the file is neither UTF-8 nor GB18030, perhaps two charsets are mixed; save it again in one charset"}
	}
	return nil
}

// validUTF8 returns how many bytes are whole, valid characters; bad is set if the next bytes can never be one.
func validUTF8(b []byte, atEOF bool) (n int, bad bool) {
	if utf8.Valid(b) {
		return len(b), false
	}
	for n < len(b) {
		if b[n] < utf8.RuneSelf {
			n++
			continue
		}
		if !atEOF && !utf8.FullRune(b[n:]) {
			return n, false
		}
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			return n, true
		}
		n += size
	}
	return n, false
}

// NewReader decodes r to UTF-8 without byte order mark. Codes of GB18030 that are assigned to nothing become U+FFFD;
// bytes that are not of the charset cannot occur after Detect, otherwise they become U+FFFD too.
func NewReader(r io.Reader, c Charset) io.Reader {
	switch c {
	case GB18030:
		return transform.NewReader(r, newGBDecoder())
	case UTF8BOM:
		return &bomReader{r: r}
	}
	return r
}

// bomReader drops a byte order mark.
type bomReader struct {
	r    io.Reader
	past bool
}

func (b *bomReader) Read(p []byte) (int, error) {
	if !b.past {
		b.past = true
		var head [3]byte
		n, err := io.ReadFull(b.r, head[:])
		if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
			return 0, err
		}
		if !bytes.Equal(head[:n], bom) {
			b.r = io.MultiReader(bytes.NewReader(head[:n]), b.r)
		}
	}
	return b.r.Read(p)
}

// NewWriter encodes UTF-8 text; Close flushes it and leaves w open. UTF8BOM begins with a byte order mark.
func NewWriter(w io.Writer, c Charset) (io.WriteCloser, error) {
	switch c {
	case GB18030:
		return transform.NewWriter(w, newGBEncoder()), nil
	case UTF8BOM:
		if _, err := w.Write(bom); err != nil {
			return nil, err
		}
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
