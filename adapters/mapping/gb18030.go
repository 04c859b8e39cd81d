package mapping

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

// GB 18030 gives 1,894 two-byte codes to its users; departments keep rare characters of their own fonts there. The
// standard's three user-defined areas lie in Unicode's private use area by formula, which x/text leaves out when it
// decodes (U+FFFD) and writes wrongly when it encodes. These functions put the formula in front of x/text.
const (
	udaFirst, udaSecond, udaThird, udaEnd = 0xE000, 0xE234, 0xE4C6, 0xE766
)

// udaRune is the private character of a two-byte code of a user-defined area.
func udaRune(lead, trail byte) (rune, bool) {
	switch {
	case lead >= 0xAA && lead <= 0xAF && trail >= 0xA1 && trail <= 0xFE:
		return udaFirst + rune(lead-0xAA)*94 + rune(trail-0xA1), true
	case lead >= 0xF8 && lead <= 0xFE && trail >= 0xA1 && trail <= 0xFE:
		return udaSecond + rune(lead-0xF8)*94 + rune(trail-0xA1), true
	case lead >= 0xA1 && lead <= 0xA7 && trail >= 0x40 && trail <= 0xA0 && trail != 0x7F:
		r := udaThird + rune(lead-0xA1)*96 + rune(trail-0x40)
		if trail > 0x7F {
			r--
		}
		return r, true
	}
	return 0, false
}

// udaBytes is the inverse of udaRune.
func udaBytes(r rune) (lead, trail byte, ok bool) {
	switch {
	case r >= udaFirst && r < udaSecond:
		r -= udaFirst
		return byte(0xAA + r/94), byte(0xA1 + r%94), true
	case r >= udaSecond && r < udaThird:
		r -= udaSecond
		return byte(0xF8 + r/94), byte(0xA1 + r%94), true
	case r >= udaThird && r < udaEnd:
		r -= udaThird
		lead, trail = byte(0xA1+r/96), byte(0x40+r%96)
		if trail >= 0x7F {
			trail++
		}
		return lead, trail, true
	}
	return 0, 0, false
}

// Linear values of the four-byte codes: the last that stands for U+FFFF, and the range of the planes above.
const (
	lastFourByteBMP   = 39419
	firstSupplement   = 189000
	supplementaryRune = 0x10FFFF - 0x10000
)

// gbSize is the length of the character at the front of b: 0 = incomplete, -1 = not GB18030.
func gbSize(b []byte) int {
	switch {
	case b[0] < 0x80:
		return 1
	case b[0] == 0x80 || b[0] == 0xFF:
		return -1
	case len(b) < 2:
		return 0
	case b[1] >= 0x40 && b[1] <= 0xFE && b[1] != 0x7F:
		return 2
	case b[1] < 0x30 || b[1] > 0x39:
		return -1
	case len(b) < 3:
		return 0
	case b[2] < 0x81 || b[2] > 0xFE:
		return -1
	case len(b) < 4:
		return 0
	case b[3] < 0x30 || b[3] > 0x39:
		return -1
	}
	linear := ((int(b[0]-0x81)*10+int(b[1]-0x30))*126+int(b[2]-0x81))*10 + int(b[3]-0x30)
	if linear <= lastFourByteBMP || linear >= firstSupplement && linear <= firstSupplement+supplementaryRune {
		return 4
	}
	return -1
}

// validGB18030 is validUTF8 for GB18030: it checks structure and ranges, not whether a two-byte code is assigned.
func validGB18030(b []byte, atEOF bool) (n int, bad bool) {
	for n < len(b) {
		if b[n] < utf8.RuneSelf {
			n++
			continue
		}
		switch size := gbSize(b[n:]); size {
		case -1:
			return n, true
		case 0:
			return n, atEOF
		default:
			n += size
		}
	}
	return n, false
}

type gbDecoder struct{ inner transform.Transformer }

func newGBDecoder() *gbDecoder {
	return &gbDecoder{inner: simplifiedchinese.GB18030.NewDecoder().Transformer}
}

// Reset implements transform.Transformer.
func (d *gbDecoder) Reset() { d.inner.Reset() }

// Transform implements transform.Transformer: runs without user-defined codes go through x/text.
func (d *gbDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		run, uda := 0, rune(0)
		for nSrc+run < len(src) {
			rest := src[nSrc+run:]
			if rest[0] < utf8.RuneSelf {
				run++
				continue
			}
			size := gbSize(rest)
			if size == 0 {
				break
			}
			if size == 2 {
				if r, ok := udaRune(rest[0], rest[1]); ok {
					uda = r
					break
				}
			}
			run += max(size, 1)
		}
		last := nSrc+run == len(src)
		n, m, err := d.inner.Transform(dst[nDst:], src[nSrc:nSrc+run], uda != 0 || last && atEOF)
		nDst, nSrc = nDst+n, nSrc+m
		if err != nil {
			return nDst, nSrc, err
		}
		switch {
		case uda != 0:
			if nDst+utf8.UTFMax > len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			nDst += utf8.EncodeRune(dst[nDst:], uda)
			nSrc += 2
		case nSrc < len(src) && !atEOF:
			return nDst, nSrc, transform.ErrShortSrc
		case nSrc < len(src):
			n, m, err := d.inner.Transform(dst[nDst:], src[nSrc:], true)
			return nDst + n, nSrc + m, err
		}
	}
	return nDst, nSrc, nil
}

type gbEncoder struct{ inner transform.Transformer }

func newGBEncoder() *gbEncoder {
	return &gbEncoder{inner: simplifiedchinese.GB18030.NewEncoder().Transformer}
}

// Reset implements transform.Transformer.
func (e *gbEncoder) Reset() { e.inner.Reset() }

// Transform implements transform.Transformer.
func (e *gbEncoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		run := 0
		var lead, trail byte
		uda := false
		for nSrc+run < len(src) {
			rest := src[nSrc+run:]
			if rest[0] < utf8.RuneSelf {
				run++
				continue
			}
			if !atEOF && !utf8.FullRune(rest) {
				break
			}
			r, size := utf8.DecodeRune(rest)
			if lead, trail, uda = udaBytes(r); uda {
				break
			}
			run += size
		}
		n, m, err := e.inner.Transform(dst[nDst:], src[nSrc:nSrc+run], true)
		nDst, nSrc = nDst+n, nSrc+m
		if err != nil {
			return nDst, nSrc, err
		}
		switch {
		case uda:
			if nDst+2 > len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst], dst[nDst+1] = lead, trail
			nDst += 2
			nSrc += 3 // every user-defined character is three bytes of UTF-8
		case nSrc < len(src):
			return nDst, nSrc, transform.ErrShortSrc
		}
	}
	return nDst, nSrc, nil
}
