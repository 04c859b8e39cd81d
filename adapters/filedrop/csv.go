package filedrop

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
)

// csvReader reads RFC 4180 records of decoded text. Unlike encoding/csv it numbers rows as a spreadsheet does (blank
// rows count, line ends inside a cell do not), bounds a row, and goes on after a row that cannot be read, as long as
// it is clear where that row ends.
type csvReader struct {
	r      *bufio.Reader
	comma  byte
	maxRow int
	row    int    // number of the row last read; the header is row 1
	line   []byte // the physical lines of the current row
	buf    []byte // its cells, unquoted
	ends   []int  // end of each cell in buf
}

// errQuote is inside one row: its quotation marks do not match, but the line ends.
var errQuote = errors.New("quotation marks do not match")

// errTooLong is inside one row: it is longer than permitted, but the line ends.
var errTooLong = errors.New("row is too long")

func newCSVReader(r io.Reader, comma byte, maxRow int) *csvReader {
	return &csvReader{r: bufio.NewReaderSize(r, 64<<10), comma: comma, maxRow: maxRow}
}

// read returns the cells of the next row that is not blank. After errQuote or errTooLong the next call goes on with
// the row after; text is then the row as it stands. A *refusal or any other error ends the file.
func (c *csvReader) read() (cells []string, text string, err error) {
	for {
		c.line = c.line[:0]
		cut, err := c.readLine()
		if err != nil {
			return nil, "", err
		}
		c.row++
		if cut {
			return nil, string(c.line), errTooLong
		}
		if blank(c.line, c.comma) {
			continue
		}
		if err := c.split(); err != nil {
			return nil, string(trimEOL(c.line)), err
		}
		all := string(c.buf)
		cells = make([]string, len(c.ends))
		from := 0
		for i, end := range c.ends {
			cells[i] = all[from:end]
			from = end
		}
		return cells, "", nil
	}
}

// readLine appends one physical line with its end to c.line. cut says that the rest of an over-long line was skipped.
func (c *csvReader) readLine() (cut bool, err error) {
	start := len(c.line)
	for {
		part, err := c.r.ReadSlice('\n')
		if len(c.line)+len(part) > c.maxRow {
			cut = true
		}
		if !cut {
			c.line = append(c.line, part...)
		}
		switch {
		case err == nil:
			return cut, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(c.line) > start || cut {
				return cut, nil
			}
			return false, io.EOF
		default:
			return false, err
		}
	}
}

func trimEOL(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// blank reports a row in which every cell is empty: spreadsheets leave such rows at the end.
func blank(line []byte, comma byte) bool {
	for _, b := range trimEOL(line) {
		if b != comma && b != ' ' && b != '\t' {
			return false
		}
	}
	return true
}

// split cuts c.line into cells, reading on where a quoted cell goes over the line's end.
func (c *csvReader) split() error {
	c.buf, c.ends = c.buf[:0], c.ends[:0]
	pos := 0
	for {
		rest := trimEOL(c.line[pos:])
		if len(rest) == 0 || rest[0] != '"' {
			i := bytes.IndexByte(rest, c.comma)
			cell := rest
			if i >= 0 {
				cell = rest[:i]
			}
			if bytes.IndexByte(cell, '"') >= 0 {
				return errQuote
			}
			c.buf = append(c.buf, cell...)
			c.ends = append(c.ends, len(c.buf))
			if i < 0 {
				return nil
			}
			pos += i + 1
			continue
		}
		next, last, err := c.quoted(pos + 1)
		if err != nil {
			return err
		}
		c.ends = append(c.ends, len(c.buf))
		if last {
			return nil
		}
		pos = next
	}
}

// quoted reads a quoted cell that begins at pos, after its first mark; last says that the row ends with it.
func (c *csvReader) quoted(pos int) (next int, last bool, err error) {
	for {
		i := bytes.IndexByte(c.line[pos:], '"')
		if i < 0 { // the cell goes on in the next line
			c.buf = append(c.buf, normalEOL(c.line[pos:])...)
			pos = len(c.line)
			cut, err := c.readLine()
			switch {
			case errors.Is(err, io.EOF):
				return 0, false, refuse("quote", "第%d行有未闭合的引号,其后各行无法分辨。改法:补上引号或删去多余的引号", "row %d has a quotation mark that is never closed, so the rows after it cannot be told apart. Remedy: close or remove it", c.row)
			case err != nil:
				return 0, false, err
			case cut:
				return 0, false, refuse("quote", "第%d行的引号到一行的长度上限仍未闭合。改法:补上引号或删去多余的引号", "row %d has a quotation mark not closed within the longest permitted row. Remedy: close or remove it", c.row)
			}
			continue
		}
		c.buf = append(c.buf, c.line[pos:pos+i]...)
		pos += i + 1
		rest := c.line[pos:]
		switch {
		case len(rest) > 0 && rest[0] == '"':
			c.buf = append(c.buf, '"')
			pos++
		case len(rest) > 0 && rest[0] == c.comma:
			return pos + 1, false, nil
		case len(trimEOL(rest)) == 0:
			return pos, true, nil
		default:
			return 0, false, errQuote
		}
	}
}

// normalEOL makes the line end of a quoted part a plain line feed.
func normalEOL(b []byte) []byte {
	if bytes.HasSuffix(b, []byte("\r\n")) {
		return append(b[:len(b)-2:len(b)-2], '\n')
	}
	return b
}

// csvRows makes rows of a CSV file.
type csvRows struct {
	c       *csvReader
	columns []string // without added columns
	at      []int    // position of each column in the file
	marks   map[string]int
	width   int
}

// openCSV reads the header: names are trimmed, must be there and unique; columns that an error file added are left
// out.
func openCSV(r io.Reader, comma byte, maxRow int) (*csvRows, error) {
	c := newCSVReader(r, comma, maxRow)
	header, _, err := c.read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, refuse("empty", "文件是空的", "the file is empty")
	case errors.Is(err, errQuote), errors.Is(err, errTooLong):
		return nil, refuse("header", "表头无法读取:引号不成对或过长", "the header cannot be read: quotation marks do not match, or it is too long")
	case err != nil:
		return nil, err
	}
	out := &csvRows{c: c, width: len(header), marks: map[string]int{}}
	seen := map[string]bool{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
			return nil, refuse("header", "表头第%d列没有名称", "column %d of the header has no name", i+1)
		case seen[name]:
			return nil, refuse("header", "表头中“%s”出现两次", "the header names %q twice", name)
		case isAdded(name):
			out.marks[name] = i
		default:
			out.columns = append(out.columns, name)
			out.at = append(out.at, i)
		}
		seen[name] = true
	}
	return out, nil
}

func (r *csvRows) next() (rawRow, error) {
	cells, text, err := r.c.read()
	out := rawRow{number: r.c.row, grid: true}
	switch {
	case errors.Is(err, errQuote):
		out.text = text
		out.fault = &sourceFault{"quote", "", -1, "引号应成对", "补上引号,单元格内的引号写两遍", "quotation marks must match", "close the mark; write a mark inside a cell twice"}
		return out, nil
	case errors.Is(err, errTooLong):
		out.text = text
		out.fault = &sourceFault{"too_large", "", -1, "整行应不超过长度上限", "删减长文本", "the row must not be longer than permitted", "shorten long texts"}
		return out, nil
	case err != nil:
		return out, err
	}
	if !r.fits(cells) {
		out.text = strings.Join(cells, string(r.c.comma))
		out.fault = countFault(r.width, len(cells))
		return out, nil
	}
	out.columns = r.columns
	out.cells = make([]adapters.Value, len(r.at))
	for i, at := range r.at {
		if cells[at] != "" {
			out.cells[i] = adapters.Text(cells[at])
		}
		out.bytes += len(cells[at])
	}
	if at, ok := r.marks[addedResult]; ok {
		out.corrects = unitMark(cells[at])
	}
	return out, nil
}

// fits reports whether a row has the header's number of cells; empty ones beyond it are a spreadsheet's habit.
func (r *csvRows) fits(cells []string) bool {
	if len(cells) < r.width {
		return false
	}
	for _, extra := range cells[r.width:] {
		if extra != "" {
			return false
		}
	}
	return true
}
