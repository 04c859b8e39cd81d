package filedrop

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/mapping"
)

// rawRow is one row of a file before it is put under the file's columns.
type rawRow struct {
	number   int
	grid     bool
	columns  []string // of cells
	cells    []adapters.Value
	object   []byte // JSON: the row, compact
	bytes    int
	text     string // the row as it stands where it cannot be read
	fault    *sourceFault
	corrects string // unit id an error file carries in this row
}

// sourceFault is a fault of a row found while reading.
type sourceFault struct {
	rule, column    string
	at              int
	shouldZh, fixZh string
	shouldEn, fixEn string
}

func countFault(want, got int) *sourceFault {
	return &sourceFault{"columns", "", -1,
		fmt.Sprintf("应有%d列,实有%d列", want, got), "核对逗号与引号,使列数与表头一致",
		fmt.Sprintf("must have %d cells, it has %d", want, got), "check commas and quotation marks against the header"}
}

func (f *sourceFault) problem(o adapters.Origin) adapters.Problem {
	return mapping.SourceProblem(o, f.rule, f.at, f.column, f.shouldZh, f.fixZh, f.shouldEn, f.fixEn)
}

// rowReader gives the rows of a file in order, io.EOF at the end, a *refusal where the file cannot be read further.
type rowReader interface {
	next() (rawRow, error)
}

// layoutOf is how a file is written, decided once when it is staged.
type layoutOf struct {
	Gzip    bool   `json:"gzip,omitempty"`
	Charset string `json:"charset"`
	Format  string `json:"format"`
}

// fileText is the decoded text of a file.
type fileText struct {
	io.Reader
	f *os.File
	z *gzip.Reader
}

func (t *fileText) Close() error {
	if t.z != nil {
		_ = t.z.Close() // reports only what Read has reported
	}
	return t.f.Close()
}

var gzipMagic = []byte{0x1f, 0x8b}

// limitedReader fails where more than left bytes come.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, refuse("too_large", "文件解压后超过允许的大小", "the file is larger than permitted once unpacked")
	}
	return n, err
}

// openBytes opens a file's bytes, unpacked.
func openBytes(path string, c *Config) (*fileText, bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	t := &fileText{f: f}
	br := bufio.NewReaderSize(f, 64<<10)
	head, _ := br.Peek(2) // a shorter file is not gzip
	zipped := bytes.Equal(head, gzipMagic)
	t.Reader = br
	if zipped {
		if t.z, err = gzip.NewReader(br); err != nil {
			_ = f.Close() // the first error tells
			return nil, true, refuse("gzip", "压缩文件已损坏", "the compressed file is damaged")
		}
		t.Reader = gzipReader{t.z}
	}
	t.Reader = &limitedReader{r: t.Reader, left: int64(c.MaxBytes)}
	return t, zipped, nil
}

// gzipReader turns damage into a refusal.
type gzipReader struct{ z *gzip.Reader }

func (g gzipReader) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	var pathErr *os.PathError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &pathErr) {
		err = refuse("gzip", "压缩文件不完整或已损坏", "the compressed file is incomplete or damaged")
	}
	return n, err
}

// detect decides how a file is written.
func detect(path string, c *Config) (layoutOf, error) {
	t, zipped, err := openBytes(path, c)
	if err != nil {
		return layoutOf{}, err
	}
	defer t.Close() //nolint:errcheck // it was only read
	l := layoutOf{Gzip: zipped, Format: c.Format, Charset: c.Charset}
	br := bufio.NewReaderSize(t, 4096)
	head, err := br.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return l, err
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("\xD0\xCF\x11\xE0")) {
		return l, refuse("format", "这是Excel工作簿或压缩包。改法:另存为CSV(UTF-8或GB18030)再投递", "this is a workbook or an archive. Remedy: save it as CSV (UTF-8 or GB18030) and drop it again")
	}
	found, err := mapping.Detect(br)
	var bad *mapping.CharsetError
	switch {
	case errors.As(err, &bad):
		return l, refuse("charset", "%s(第%d字节)", "%[3]s (byte %[2]d)", bad.Zh, bad.Offset, bad.En)
	case err != nil:
		return l, err
	}
	if l.Charset == auto {
		l.Charset = found.String()
	} else if !compatible(l.Charset, found) {
		return l, refuse("charset", "文件编码应为%s,实为%s", "the charset must be %s, it is %s", l.Charset, found)
	}
	if l.Format == auto {
		l.Format = formatOf(head)
	}
	return l, nil
}

// compatible reports whether a file found to be in one charset can be read as the configured one: pure ASCII is found
// as UTF-8 and is valid GB18030 too, a byte order mark is optional.
func compatible(want string, found mapping.Charset) bool {
	if want == mapping.GB18030.String() {
		return found == mapping.GB18030 || found == mapping.UTF8
	}
	return found != mapping.GB18030
}

// formatOf looks at the first character that is not white space.
func formatOf(head []byte) string {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xEF\xBB\xBF")), " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("[")):
		return formatJSON
	case bytes.HasPrefix(head, []byte("{")):
		return formatNDJSON
	}
	return formatCSV
}

// openRows opens a file's rows under a known layout.
func openRows(path string, l layoutOf, c *Config) (rowReader, io.Closer, error) {
	t, _, err := openBytes(path, c)
	if err != nil {
		return nil, nil, err
	}
	charset, err := mapping.ParseCharset(l.Charset)
	if err != nil {
		_ = t.Close() // the first error tells
		return nil, nil, err
	}
	if charset == mapping.UTF8 {
		charset = mapping.UTF8BOM // a mark that the configuration did not announce is dropped all the same
	}
	text := mapping.NewReader(t, charset)
	var rows rowReader
	switch l.Format {
	case formatCSV:
		rows, err = openCSV(text, c.Delimiter[0], int(c.MaxRowBytes))
	case formatJSON:
		rows, err = openArray(text, c)
	default:
		rows = &lineRows{r: bufio.NewReaderSize(text, 64<<10), c: c}
	}
	if err != nil {
		_ = t.Close() // the first error tells
		return nil, nil, err
	}
	return rows, t, nil
}
