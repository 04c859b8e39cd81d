package schemas

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Faults of a formatted string; they are the codes of its violation.
const (
	faultForm   = "wrong_form"
	faultCheck  = "check_digit"
	faultDate   = "no_such_date"
	faultRegion = "no_such_region"
)

// A format is a named form of a string. bound is the largest length in characters that it lets
// pass, so a field with a format needs no maxLength of its own.
type format struct {
	check  func(string) string // returns a fault, "" when the string fits
	bound  int
	zh, en string // what it is, to stand behind "应为" and "must be"
	sample string
}

// formats are all that the profile knows. Sources: RFC 3339 and 3986, GB 32100 (uscc), GB 11714
// (org_code), GB 11643 (id_number), GB/T 2260 (region).
var formats = map[string]format{
	"date":          {checkDate, 10, "真实存在的日期", "a date that exists", "2024-05-06"},
	"date-time":     {checkDateTime, 40, "带时区的日期时间", "a date and time with its zone", "2024-05-06T09:30:00+08:00"},
	"time":          {checkTime, 32, "带时区的时间", "a time with its zone", "09:30:00+08:00"},
	"moment":        {checkMoment, 40, "日期,或带时区的日期时间", "a date, or a date and time with its zone", "2024-05-06"},
	"uuid":          {checkUUID, 36, "UUID", "a UUID", "0190f3c2-8a51-7cc2-9d35-2b4f6f1f7f10"},
	"uri":           {checkURI, 2048, "完整的网址", "an absolute address", "https://www.example.gov.cn/a"},
	"uri-reference": {checkURIReference, 2048, "网址", "an address", "/a/b"},
	"email":         {checkEmail, 254, "电子邮箱地址", "an e-mail address", "office@example.gov.cn"},
	"ipv4":          {checkIPv4, 15, "IPv4 地址", "an IPv4 address", "192.0.2.1"},
	"ipv6":          {checkIPv6, 45, "IPv6 地址", "an IPv6 address", "2001:db8::1"},
	"uscc":          {checkUSCC, 24, "18位统一社会信用代码", "a unified social credit code of 18 characters", "11500234008640082E"},
	"org_code":      {checkOrgCode, 10, "9位组织机构代码", "an organisation code of 9 characters", "D2143569-X"},
	"unit_code":     {checkUnitCode, 32, "单位代码(字母、数字、连字符和下划线,18位的须为统一社会信用代码)", "a unit code (letters, digits, - and _; with 18 characters a unified social credit code)", "11500234008640082E"},
	"id_number":     {checkIDNumber, 18, "18位公民身份号码", "a resident identity number of 18 characters", ""},
	"masked_id":     {checkMaskedID, 18, "已脱敏的证件号码", "a masked identity number", "500***********1234"},
	"person_id":     {checkPersonID, 18, "18位公民身份号码", "a resident identity number of 18 characters", ""},
	"region":        {checkRegion, 12, "6位、9位或12位行政区划代码", "a division code of 6, 9 or 12 digits", "500154000000"},
	"money":         {checkMoney, 20, "以元为单位、最多两位小数的金额文字", "an amount in yuan as text with at most two decimals", "1234.50"},
	"decimal":       {checkDecimal, 40, "十进制数字的文字", "a decimal number as text", "3.14"},
	"phone":         {checkPhone, 40, "电话号码", "a telephone number", "023-52012345"},
	"sha256":        {checkSHA256, 64, "64位小写十六进制的 SHA-256 值", "a SHA-256 of 64 lower-case hex digits", strings.Repeat("0", 64)},
	"doc_no":        {checkDocNo, 80, "文号", "a document number", "开州府发〔2024〕12号"},
}

// Formats lists the names of the formats that a schema may use, sorted.
func Formats() []string {
	names := make([]string, 0, len(formats))
	for n := range formats {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// CheckFormat returns "" when s fits the named format, else a fault: wrong_form, check_digit,
// no_such_date or no_such_region. A name that Formats does not list lets everything pass.
func CheckFormat(name, s string) string {
	f, ok := formats[name]
	if !ok {
		return ""
	}
	if len(s) > 4*f.bound || utf8.RuneCountInString(s) > f.bound {
		return faultForm
	}
	return f.check(s)
}

// checked returns the format whose check digit was wrong: a unit code has one only as a uscc.
func (f format) checked() format {
	if f.zh == formats["unit_code"].zh {
		return formats["uscc"]
	}
	return f
}

func fits(ok bool) string {
	if ok {
		return ""
	}
	return faultForm
}

func checkURI(s string) string {
	if checkURIReference(s) != "" {
		return faultForm
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return faultForm
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		return fits(u.Host != "")
	}
	return fits(u.Opaque != "" || u.Host != "" || u.Path != "")
}

func checkURIReference(s string) string {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || strings.ContainsRune("<>\"{}|\\^`", r) {
			return faultForm
		}
	}
	_, err := url.Parse(s)
	return fits(err == nil)
}

func checkEmail(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	ok = ok && local != "" && len(local) <= 64 && domain != "" &&
		!strings.ContainsAny(domain, "@ ") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
	return fits(ok && !strings.HasPrefix(domain, ".") && !strings.HasSuffix(domain, ".") && strings.Contains(domain, "."))
}

func checkIPv4(s string) string { a, err := netip.ParseAddr(s); return fits(err == nil && a.Is4()) }

func checkIPv6(s string) string {
	a, err := netip.ParseAddr(s)
	return fits(err == nil && a.Is6() && a.Zone() == "")
}

func checkUUID(s string) string {
	if len(s) != 36 {
		return faultForm
	}
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && !isHex(s[i]) {
			return faultForm
		}
	}
	return ""
}

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func checkSHA256(s string) string {
	return fits(len(s) == 64 && !strings.ContainsFunc(s, func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f') }))
}

func checkMoney(s string) string {
	whole, cents, dot := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	ok := allDigits(whole) && len(whole) >= 1 && len(whole) <= 15 && (len(whole) == 1 || whole[0] != '0')
	if dot {
		ok = ok && allDigits(cents) && (len(cents) == 1 || len(cents) == 2)
	}
	return fits(ok)
}

func checkDecimal(s string) string {
	whole, rest, dot := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return fits(whole != "" && allDigits(whole) && (!dot || rest != "" && allDigits(rest)))
}

func checkPhone(s string) string {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+-()()# ,,、/转", r):
			return faultForm
		}
	}
	return fits(digits >= 3)
}

// checkDocNo takes the usual 代字〔年〕序号号 and the other forms that end in 号, such as 国令第711号.
func checkDocNo(s string) string {
	digits := strings.ContainsFunc(s, func(r rune) bool { return r >= '0' && r <= '9' })
	return fits(digits && (strings.HasSuffix(s, "号") || strings.HasSuffix(s, "號")))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}
