package mapping

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// numSpec: {num: {thousands: true, factor: 10000, units: {万元: 10000}, integer: true}}; all exact, as text.
type numSpec struct {
	// Thousands permits 1,234,567 (groups of three, strictly).
	Thousands bool `json:"thousands"`
	// Factor multiplies every number: the unit of the column, e.g. 10000 for 万元.
	Factor json.Number `json:"factor"`
	// Units are suffixes with their factors.
	Units map[string]json.Number `json:"units"`
	// Integer refuses a fraction that is not zero.
	Integer bool `json:"integer"`
}

// maxDigits bounds a number's text.
const maxDigits = 60

func (s numSpec) step() (step, error) {
	factor, err := factorOf(s.Factor)
	if err != nil {
		return nil, err
	}
	units := sortedKeys(s.Units)
	slices.SortStableFunc(units, func(a, b string) int { return len(b) - len(a) }) // 万元 before 元
	factors := make([]decimal, len(units))
	for i, name := range units {
		if factors[i], err = factorOf(s.Units[name]); err != nil {
			return nil, fmt.Errorf("units.%s: %w", name, err)
		}
	}
	bad := s.fault()
	return each(func(v any) (any, *fault) {
		if _, ok := v.(bool); ok {
			return nil, bad
		}
		text, unit := trim(textOf(v)), factor
		for i, name := range units {
			if rest, ok := strings.CutSuffix(text, name); ok {
				text, unit = trim(rest), factors[i]
				break
			}
		}
		d, ok := parseDecimal(text, s.Thousands)
		if !ok {
			return nil, bad
		}
		if unit.digits != nil {
			d = d.times(unit)
		}
		if s.Integer {
			if d = d.trimmed(); d.scale > 0 {
				return nil, bad
			}
		}
		return json.Number(d.String()), nil
	}), nil
}

func (s numSpec) fault() *fault {
	f := &fault{rule: "num", shouldZh: "应为数字", shouldEn: "must be a number",
		fixZh: "只填数字,不用科学计数法", fixEn: "write digits only, no scientific notation"}
	if s.Integer {
		f.shouldZh, f.shouldEn = "应为整数", "must be a whole number"
	}
	if len(s.Units) > 0 {
		f.fixZh += ",单位限" + strings.Join(sortedKeys(s.Units), "、")
		f.fixEn += "; units: " + strings.Join(sortedKeys(s.Units), ", ")
	}
	return f
}

func factorOf(n json.Number) (decimal, error) {
	if n == "" {
		return decimal{}, nil
	}
	d, ok := parseDecimal(string(n), false)
	if !ok || d.digits.Sign() <= 0 {
		return decimal{}, fmt.Errorf("factor %q is not a positive number", n)
	}
	return d, nil
}

// decimal is digits × 10^-scale, exactly; nil digits mean none.
type decimal struct {
	digits *big.Int
	scale  int
}

// parseDecimal reads an optional sign, digits and an optional fraction.
func parseDecimal(text string, thousands bool) (decimal, bool) {
	if len(text) == 0 || len(text) > maxDigits {
		return decimal{}, false
	}
	sign := ""
	if text[0] == '-' || text[0] == '+' {
		sign, text = strings.TrimPrefix(text[:1], "+"), text[1:]
	}
	whole, fraction, dotted := strings.Cut(text, ".")
	if thousands && strings.Contains(whole, ",") {
		groups := strings.Split(whole, ",")
		for i, g := range groups {
			if i > 0 && len(g) != 3 || len(g) > 3 {
				return decimal{}, false
			}
		}
		whole = strings.Join(groups, "")
	}
	if !allDigits(whole) || dotted && !allDigits(fraction) {
		return decimal{}, false
	}
	n, ok := new(big.Int).SetString(sign+whole+fraction, 10)
	return decimal{digits: n, scale: len(fraction)}, ok
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// times multiplies and removes the trailing zeros of the fraction that this makes.
func (d decimal) times(f decimal) decimal {
	return decimal{digits: new(big.Int).Mul(d.digits, f.digits), scale: d.scale + f.scale}.trimmed()
}

// trimmed removes trailing zeros of the fraction.
func (d decimal) trimmed() decimal {
	ten, rest := big.NewInt(10), new(big.Int)
	for d.scale > 0 {
		q, r := new(big.Int).QuoRem(d.digits, ten, rest)
		if r.Sign() != 0 {
			break
		}
		d = decimal{digits: q, scale: d.scale - 1}
	}
	return d
}

// String writes a JSON number without exponent.
func (d decimal) String() string {
	text := new(big.Int).Abs(d.digits).String()
	if d.scale > 0 {
		if pad := d.scale + 1 - len(text); pad > 0 {
			text = strings.Repeat("0", pad) + text
		}
		text = text[:len(text)-d.scale] + "." + text[len(text)-d.scale:]
	}
	if d.digits.Sign() < 0 {
		text = "-" + text
	}
	return text
}
