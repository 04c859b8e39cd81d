package filedrop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

// arrayRows reads the elements of one JSON array. encoding/json only finds where an element ends; record.Decode
// judges it.
type arrayRows struct {
	d      *json.Decoder
	budget *budgetReader
	c      *Config
	number int
	done   bool
}

// budgetReader bounds what is read for one element.
type budgetReader struct {
	r    io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, refuse("too_large", "有一条记录超过允许的长度", "one record is longer than permitted")
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func openArray(r io.Reader, c *Config) (*arrayRows, error) {
	a := &arrayRows{budget: &budgetReader{r: r, left: 2 * int(c.MaxRowBytes)}, c: c}
	a.d = json.NewDecoder(a.budget)
	t, err := a.d.Token()
	if err != nil || t != json.Delim('[') {
		return nil, a.damaged(err)
	}
	return a, nil
}

func (a *arrayRows) damaged(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return err
	}
	return refuse("json", "文件不是完整的JSON数组,第%d条之后无法读取", "the file is not a whole JSON array, it cannot be read after element %d", a.number)
}

func (a *arrayRows) next() (rawRow, error) {
	if a.done {
		return rawRow{}, io.EOF
	}
	a.budget.left = 2 * int(a.c.MaxRowBytes)
	if !a.d.More() {
		if _, err := a.d.Token(); err != nil {
			return rawRow{}, a.damaged(err)
		}
		a.budget.left = 1 << 20
		if _, err := a.d.Token(); !errors.Is(err, io.EOF) {
			return rawRow{}, refuse("json", "JSON数组之后还有内容", "something follows the JSON array")
		}
		a.done = true
		return rawRow{}, io.EOF
	}
	var raw json.RawMessage
	if err := a.d.Decode(&raw); err != nil {
		return rawRow{}, a.damaged(err)
	}
	a.number++
	return objectRow(a.number, raw, a.c), nil
}

// lineRows reads NDJSON; a line that cannot be read is refused alone.
type lineRows struct {
	r      *bufio.Reader
	c      *Config
	number int
}

func (l *lineRows) next() (rawRow, error) {
	for {
		line, cut, err := l.line()
		if err != nil {
			return rawRow{}, err
		}
		l.number++
		if line = bytes.TrimSpace(line); len(line) == 0 && !cut {
			continue
		}
		if cut {
			return rawRow{number: l.number, text: string(line), fault: tooLong(l.c)}, nil
		}
		return objectRow(l.number, line, l.c), nil
	}
}

// line reads one line; cut says that its end was skipped. The bytes hold until the next call.
func (l *lineRows) line() (line []byte, cut bool, err error) {
	for {
		part, err := l.r.ReadSlice('\n')
		if len(line)+len(part) > int(l.c.MaxRowBytes) {
			cut = true
		}
		if !cut {
			line = append(line, part...)
		}
		switch {
		case err == nil:
			return line, cut, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(line) > 0 || cut):
			return line, cut, nil
		default:
			return nil, false, err
		}
	}
}

func tooLong(c *Config) *sourceFault {
	n := strconv.FormatInt(int64(c.MaxRowBytes), 10)
	return &sourceFault{"too_large", "", -1, "应不超过" + n + "字节", "删减长文本", "must be at most " + n + " bytes", "shorten long texts"}
}

// objectRow reads one JSON object strictly; anything else is a row with a fault.
func objectRow(number int, raw []byte, c *Config) rawRow {
	out := rawRow{number: number, bytes: len(raw)}
	lim := record.DefaultLimits()
	lim.RecordBytes = int(c.MaxRowBytes)
	compact, value, err := record.Decode(raw, lim)
	var bad *record.SyntaxError
	if errors.As(err, &bad) {
		out.text = strings.ToValidUTF8(string(raw[:min(len(raw), 4096)]), "\uFFFD")
		out.fault = syntaxFault(bad)
		return out
	}
	if _, ok := value.(map[string]any); !ok || err != nil {
		out.text = string(raw[:min(len(raw), 4096)])
		out.fault = &sourceFault{"type", "", -1, "应为一个JSON对象", "每条写成{…}", "must be a JSON object", "write each record as {…}"}
		return out
	}
	out.object = compact
	err = record.Members(compact, func(name string, raw []byte) error {
		if name == addedResult {
			text, _ := record.Unquote(raw)
			out.corrects = unitMark(text)
		}
		if !isAdded(name) {
			out.columns = append(out.columns, name)
			out.cells = append(out.cells, jsonValue(raw))
		}
		return nil
	})
	if err != nil {
		out.fault = &sourceFault{"json", "", -1, "应为正确的JSON", "按JSON的写法改正", "must be correct JSON", "correct the JSON"}
	}
	return out
}

// syntaxFault puts a rule of the strict reader into words.
func syntaxFault(e *record.SyntaxError) *sourceFault {
	f := &sourceFault{rule: e.Rule, column: strings.TrimPrefix(e.Pointer, "/"), at: -1}
	switch e.Rule {
	case record.RuleUTF8:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "不应含有乱码字符(U+FFFD)", "按原件重新录入该字", "must not hold the replacement character U+FFFD", "enter the lost character again from the original"
	case record.RuleDuplicateName:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "同一项不应出现两次", "删去重复的一项", "must not occur twice", "remove one of the two"
	case record.RuleTooLarge:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "整条应不超过长度上限", "删减长文本", "the record must not be longer than permitted", "shorten long texts"
	case record.RuleDepth, record.RuleMembers:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "嵌套或项数应不超过上限", "简化结构", "must not be nested deeper or hold more members than permitted", "simplify the structure"
	case record.RuleNumber:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "数字应在允许的长度内", "改为合理的数字", "must be a number of permitted length", "write a reasonable number"
	default:
		f.shouldZh, f.fixZh, f.shouldEn, f.fixEn = "应为正确的JSON", "按JSON的写法改正", "must be correct JSON", "correct the JSON"
	}
	return f
}

// jsonValue makes a cell of a member's compact bytes.
func jsonValue(raw []byte) adapters.Value {
	switch raw[0] {
	case '"':
		text, _ := record.Unquote(raw)
		return adapters.Text(text)
	case '{', '[':
		return adapters.JSON(raw)
	case 't':
		return adapters.Bool(true)
	case 'f':
		return adapters.Bool(false)
	case 'n':
		return adapters.Null()
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil && string(raw) != "-0" {
		return adapters.Int(n)
	}
	return adapters.Decimal(string(raw))
}
