package transport

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas/record"
)

// gzipRatioMax bounds how much a compressed body may grow.
const gzipRatioMax = 100

// body reads a request body of at most limit bytes, unpacking gzip.
func body(r *http.Request, limit int64) ([]byte, error) {
	raw := &countingReader{r: http.MaxBytesReader(nil, r.Body, limit)}
	var in io.Reader = raw
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, api.Refuse(api.CodeMalformed, "正文不是 gzip / the body is not gzip")
		}
		in = &ratioReader{r: z, raw: raw}
	default:
		return nil, api.Refuse(api.CodeUnsupportedMediaType, "Content-Encoding 只能是 gzip 或不写 / Content-Encoding may be gzip or absent")
	}
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if control, ok := r.Context().Value(keyControl).(*http.ResponseController); ok && err == nil {
		// The body is here; see bound. After an error the deadline stands: the
		// listener would wait for the rest of the body for ever.
		_ = control.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	var p *api.Problem
	switch {
	case errors.As(err, &tooLarge), err == nil && int64(len(b)) > limit:
		return nil, api.Refuse(api.CodeTooLarge, "正文超过%[1]d字节 / the body is longer than %[1]d bytes", limit)
	case errors.As(err, &p):
		return nil, p
	case err != nil:
		return nil, api.Refuse(api.CodeMalformed, "正文没有收全 / the body could not be read whole")
	}
	return b, nil
}

// countingReader knows how many packed bytes were read.
type countingReader struct {
	r io.Reader
	n int64
}

// Read counts what it passes on.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ratioReader stops a body that unpacks to much more than was sent.
type ratioReader struct {
	r   io.Reader
	raw *countingReader
	n   int64
}

// Read returns a too_large problem once the ratio is passed.
func (z *ratioReader) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	z.n += int64(n)
	if z.n > 1<<20 && z.n > gzipRatioMax*z.raw.n {
		return n, api.Refuse(api.CodeTooLarge, "正文解压后超过原大小的%[1]d倍 / the body unpacks to more than %[1]d times its size", gzipRatioMax)
	}
	return n, err
}

// mediaType is the request's media type without parameters.
func mediaType(r *http.Request) string {
	t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
		return ""
	}
	return t
}

// jsonBody reads a JSON object strictly into T: unknown members, duplicate
// members of the same name and trailing bytes are refused.
func jsonBody[T any](r *http.Request, limit int64) (T, error) {
	var out T
	if t := mediaType(r); t != "application/json" {
		return out, api.Refuse(api.CodeUnsupportedMediaType, "请用 application/json / send application/json")
	}
	b, err := body(r, limit)
	if err != nil {
		return out, err
	}
	if err := strict(b, &out); err != nil {
		return out, err
	}
	return out, nil
}

// strict decodes one JSON value into out.
func strict(b []byte, out any) error {
	limits := record.DefaultLimits()
	limits.RecordBytes = len(b)
	_, value, err := record.Decode(b, limits)
	if err != nil {
		return api.Refuse(api.CodeMalformed, "正文不合严格 JSON 规则:%[1]v / the body is not strict JSON: %[1]v", err)
	}
	// encoding/json takes NAME for name, and then either of the two.
	object, _ := value.(map[string]any)
	for name := range object {
		if strings.ToLower(name) != name {
			return api.Refuse(api.CodeUnknownMember, "未定义的成员%[1]q / unknown member %[1]q", name)
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err = d.Decode(out)
	var unmarshal *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &unmarshal):
		return api.Refuse(api.CodeMalformed, "成员%[1]q类型不对,应为%[2]s / member %[1]q has the wrong type, want %[2]s", unmarshal.Field, unmarshal.Type)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return api.Refuse(api.CodeUnknownMember, "未定义的成员%[1]s / unknown member %[1]s", strings.TrimPrefix(err.Error(), "json: unknown field "))
	default:
		return api.Refuse(api.CodeMalformed, "正文不是所要的 JSON 对象 / the body is not the JSON object that is expected here")
	}
	return nil
}

// lines splits an NDJSON body; blank lines are passed over.
func lines(b []byte, limit int) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(out) == limit {
			return nil, api.Refuse(api.CodeTooLarge, "一批超过%[1]d行 / more than %[1]d lines in one batch", limit)
		}
		out = append(out, line)
	}
	return out, nil
}

// number reads an unsigned query parameter; absent is fallback.
func number(r *http.Request, name string, fallback uint64) (uint64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return fallback, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, api.Refuse(api.CodeMalformed, "参数%[1]s不是从0起的数 / parameter %[1]s is not a number from 0", name)
	}
	return n, nil
}

// wait reads how long a read may wait for something new: "30s" or seconds.
func wait(r *http.Request, most time.Duration) (time.Duration, error) {
	s := r.URL.Query().Get("wait")
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return 0, api.Refuse(api.CodeMalformed, "参数 wait 应如 30s / parameter wait is not a time like 30s")
		}
		d = time.Duration(n) * time.Second
	}
	if d < 0 {
		return 0, api.Refuse(api.CodeMalformed, "参数 wait 为负 / parameter wait is negative")
	}
	return min(d, most), nil
}

// revision reads If-Match: the revision that the caller last saw. want is
// false where the header is absent. If-None-Match: * is revision 0.
func revision(r *http.Request) (rev uint64, want bool, err error) {
	if r.Header.Get("If-None-Match") == "*" {
		return 0, true, nil
	}
	s := r.Header.Get("If-Match")
	if s == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(s, "W/"), `"`), 10, 63)
	if err != nil {
		return 0, false, api.Refuse(api.CodeMalformed, "If-Match 不是总线给出的修订号 / If-Match is not a revision that this bus gave")
	}
	return n, true, nil
}
