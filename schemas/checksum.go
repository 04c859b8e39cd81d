package schemas

import "strings"

// usccAlphabet is the character set of GB 32100 in the order of its values: no I, O, S, V, Z.
const usccAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// checkUSCC checks a unified social credit code (GB 32100) after trimming and upper-casing, as
// real files hold lower case: weights 3^i mod 31, the last character closes the sum to 31.
func checkUSCC(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 18 {
		return faultForm
	}
	sum, weight := 0, 1
	for i := range 18 {
		v := strings.IndexByte(usccAlphabet, s[i])
		if v < 0 {
			return faultForm
		}
		if i < 17 {
			sum += v * weight
			weight = weight * 3 % 31
		} else if v != (31-sum%31)%31 {
			return faultCheck
		}
	}
	return ""
}

// checkUnitCode takes any code that a county gives its units; with 18 characters it is a uscc.
func checkUnitCode(s string) string {
	s = strings.TrimSpace(s)
	if len(s) == 0 || len(s) > 32 {
		return faultForm
	}
	for i := range len(s) {
		c := s[i]
		if !isDigit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-' && c != '_' {
			return faultForm
		}
	}
	if len(s) == 18 {
		return checkUSCC(s)
	}
	return ""
}

// checkOrgCode checks an organisation code (GB 11714), with or without its hyphen.
func checkOrgCode(s string) string {
	if len(s) == 10 && s[8] == '-' {
		s = s[:8] + s[9:]
	}
	if len(s) != 9 {
		return faultForm
	}
	sum := 0
	for i, weight := range [8]int{3, 7, 9, 10, 5, 8, 4, 2} {
		switch c := s[i]; {
		case isDigit(c):
			sum += int(c-'0') * weight
		case c >= 'A' && c <= 'Z':
			sum += int(c-'A'+10) * weight
		default:
			return faultForm
		}
	}
	if want := "0123456789X0"[11-sum%11]; s[8] != want {
		return faultCheck
	}
	return ""
}

// checkIDNumber checks a resident identity number (GB 11643): 17 digits and a check character
// by ISO 7064 MOD 11-2, a province that exists, and a birth date that exists.
func checkIDNumber(s string) string {
	if len(s) != 18 || !allDigits(s[:17]) {
		return faultForm
	}
	last := s[17]
	if last == 'x' {
		last = 'X'
	}
	if !isDigit(last) && last != 'X' {
		return faultForm
	}
	if !province(s) {
		return faultRegion
	}
	if year := number(s[6:10]); year < 1800 || year > 2200 || !dateExists(year, number(s[10:12]), number(s[12:14])) {
		return faultDate
	}
	sum := 0
	for i, weight := range [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(s[i]-'0') * weight
	}
	if last != "10X98765432"[sum%11] {
		return faultCheck
	}
	return ""
}

// checkMaskedID takes what reached us masked already: digits, at least four stars, digits.
func checkMaskedID(s string) string {
	head := strings.TrimLeft(s, "0123456789")
	tail := strings.TrimLeft(head, "*")
	stars := len(head) - len(tail)
	ok := len(s) >= 8 && len(s) <= 18 && stars >= 4 && len(tail) <= 4
	for i := range len(tail) {
		ok = ok && (isDigit(tail[i]) || tail[i] == 'X' && i == len(tail)-1)
	}
	return fits(ok)
}

// checkPersonID takes an identity number, or one that reached us masked.
func checkPersonID(s string) string {
	if strings.Contains(s, "*") {
		return checkMaskedID(s)
	}
	return checkIDNumber(s)
}

// checkRegion checks the form of a division code (GB/T 2260 and its extensions to town and
// village); a code may end in zeros for the levels that it does not name.
func checkRegion(s string) string {
	if len(s) != 6 && len(s) != 9 && len(s) != 12 || !allDigits(s) {
		return faultForm
	}
	if !province(s) {
		return faultRegion
	}
	return ""
}

// province reports whether a code begins with one of the 34 provincial codes of GB/T 2260.
func province(s string) bool {
	const known = " 11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 "
	return strings.Contains(known, " "+s[:2]+" ")
}

func checkDate(s string) string {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' || !allDigits(s[:4]+s[5:7]+s[8:]) {
		return faultForm
	}
	if !dateExists(number(s[:4]), number(s[5:7]), number(s[8:])) {
		return faultDate
	}
	return ""
}

// checkDateTime follows RFC 3339 with a capital T and Z and no leap second, which most readers refuse.
func checkDateTime(s string) string {
	if len(s) < 20 || s[10] != 'T' {
		return faultForm
	}
	if f := checkDate(s[:10]); f != "" {
		return f
	}
	return checkTime(s[11:])
}

func checkMoment(s string) string {
	if len(s) == 10 {
		return checkDate(s)
	}
	return checkDateTime(s)
}

func checkTime(s string) string {
	if !clock(s) {
		return faultForm
	}
	rest := s[8:]
	if strings.HasPrefix(rest, ".") {
		after := strings.TrimLeft(rest[1:], "0123456789")
		if n := len(rest) - 1 - len(after); n == 0 || n > 9 {
			return faultForm
		}
		rest = after
	}
	if rest == "Z" {
		return ""
	}
	return fits(len(rest) == 6 && (rest[0] == '+' || rest[0] == '-') && clock(rest[1:]+":00"))
}

// clock reports whether s begins with hh:mm:ss.
func clock(s string) bool {
	return len(s) >= 8 && s[2] == ':' && s[5] == ':' && allDigits(s[:2]+s[3:5]+s[6:8]) &&
		number(s[:2]) < 24 && number(s[3:5]) < 60 && number(s[6:8]) < 60
}

func number(digits string) int {
	n := 0
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

func dateExists(year, month, day int) bool {
	if year < 1 || month < 1 || month > 12 || day < 1 {
		return false
	}
	days := [12]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1]
	if month == 2 && (year%4 == 0 && year%100 != 0 || year%400 == 0) {
		days++
	}
	return day <= days
}
