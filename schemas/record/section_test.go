package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/s2"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func fixedHash(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

func sampleHeader() Header {
	return Header{Strict: true, Resource: 7, Revision: 300, Node: "n1", LinkEpoch: 3, LinkNumber: 1 << 40,
		Dictionary: 2, KeyEpoch: 5, Secret: fixedHash(0xaa), Systems: []string{"xk.case", "gov.portal"},
		Producers: []Producer{{"xk.case", 4}, {"xk.case.2", 1}}}
}

func sampleRecords() []SectionRecord {
	return []SectionRecord{
		{Op: Upsert, Producer: 1, Seq: 300, Key: "k1", SchemaVersion: 2, Body: []byte(`{"a":1}`)},
		{Op: Withdraw, System: 1, Producer: -1, Source: "urn:x", ID: "i-2", Key: "川A|7", OccurredAt: -62135596800000,
			SchemaVersion: 1, SourceVersion: number(-1), Reason: "重复", Secret: bytes.Repeat([]byte{1}, 32), Traceparent: trace},
		{Op: Upsert, Producer: -1, ID: "i-3", Key: "k3", SourceVersion: number(0), Body: []byte("[" + strings.Repeat(`"长文本",`, 40) + "1]")},
	}
}

func sampleRefusals() []Refusal {
	return []Refusal{
		{Producer: 0, Seq: 9, Key: "k", Op: Upsert, SchemaVersion: 2, Errors: []byte(`[{"code":"required"}]`), More: 3, Body: []byte(`{ "a": 1 }`)},
		{System: 1, Producer: -1, ID: "i-2", Op: Withdraw, Errors: []byte(`[]`)},
		{Producer: -1},
	}
}

func sampleCursors() []CursorMove {
	return []CursorMove{
		{Subscription: "s1", Action: ActionHanded, From: 1, Through: 500, Delivered: 480, Filtered: 20, GrantRevision: 12, Root: fixedHash(0xcc), System: "gov.portal"},
		{Subscription: "s1", Action: ActionAck, Through: 500, System: "gov.portal"},
	}
}

var sampleMark = Mark{Index: 1 << 33, Size: 77, Root: sha256.Sum256([]byte("root")), Running: sha256.Sum256([]byte("running"))}

const sampleCommand = `{"type":"department.put","v":1,"request":"r1","by":"gov.admin"}`

// samples gives a section of every kind, and its decoder as one shape.
func samples(t testing.TB, codec uint8) map[string]sample {
	h := sampleHeader()
	h.Codec = codec
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return map[string]sample{
		"records": {must(EncodeRecords(h, sampleRecords())), sampleRecords(), KindRecords, 3,
			func(b []byte) (Header, any, error) { h, v, err := DecodeRecords(b); return h, v, err },
			func(h Header, v any) ([]byte, error) { return EncodeRecords(h, v.([]SectionRecord)) }},
		"refusals": {must(EncodeRefusals(h, sampleRefusals())), sampleRefusals(), KindRefusals, 3,
			func(b []byte) (Header, any, error) { h, v, err := DecodeRefusals(b); return h, v, err },
			func(h Header, v any) ([]byte, error) { return EncodeRefusals(h, v.([]Refusal)) }},
		"cursors": {must(EncodeCursors(h, sampleCursors())), sampleCursors(), KindCursors, 2,
			func(b []byte) (Header, any, error) { h, v, err := DecodeCursors(b); return h, v, err },
			func(h Header, v any) ([]byte, error) { return EncodeCursors(h, v.([]CursorMove)) }},
		"command": {must(EncodeCommand(h, []byte(sampleCommand))), []byte(sampleCommand), KindCommand, 1,
			func(b []byte) (Header, any, error) { h, v, err := DecodeCommand(b); return h, v, err },
			func(h Header, v any) ([]byte, error) { return EncodeCommand(h, v.([]byte)) }},
		"mark": {must(EncodeMark(h, sampleMark)), sampleMark, KindMark, 1,
			func(b []byte) (Header, any, error) { h, v, err := DecodeMark(b); return h, v, err },
			func(h Header, v any) ([]byte, error) { return EncodeMark(h, v.(Mark)) }},
	}
}

type sample struct {
	section []byte
	want    any
	kind    Kind
	count   int
	decode  func([]byte) (Header, any, error)
	encode  func(Header, any) ([]byte, error)
}

func TestSections(t *testing.T) {
	for _, codec := range []uint8{CodecNone, CodecS2} {
		for name, s := range samples(t, codec) {
			t.Run(name, func(t *testing.T) {
				h, got, err := s.decode(s.section)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(s.want, got); d != "" {
					t.Errorf("payload (-want +got)\n%s", d)
				}
				want := sampleHeader()
				want.Kind, want.Count = s.kind, s.count
				if d := cmp.Diff(want, h, cmpopts.IgnoreFields(Header{}, "Codec", "RawBytes")); d != "" {
					t.Errorf("header (-want +got)\n%s", d)
				}
				parsed, err := ParseHeader(s.section)
				if d := cmp.Diff(h, parsed); d != "" || err != nil {
					t.Errorf("ParseHeader: %v (-decode +parse)\n%s", err, d)
				}
			})
		}
	}
	if h, _ := ParseHeader(samples(t, CodecS2)["records"].section); h.Codec != CodecS2 {
		t.Error("a section that shrinks was not packed")
	}
	if h, _ := ParseHeader(samples(t, CodecS2)["mark"].section); h.Codec != CodecNone {
		t.Error("a section that does not shrink was packed")
	}
}

// The bytes of every kind are frozen for the format. Those of s2 are only read:
// its coder may choose other bytes for the same text.
func TestSectionGoldens(t *testing.T) {
	for _, codec := range []uint8{CodecNone, CodecS2} {
		for name, s := range samples(t, codec) {
			h, _ := ParseHeader(s.section)
			if h.Codec != codec {
				continue
			}
			file := filepath.Join("testdata", "section", name+map[uint8]string{CodecNone: "", CodecS2: "-s2"}[codec]+".v1.hex")
			if *rewrite {
				if err := os.WriteFile(file, wrapHex(s.section), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			frozen, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			if codec == CodecNone && !bytes.Equal(frozen, s.section) {
				t.Errorf("%s: now written as\n%s", file, wrapHex(s.section))
			}
			_, got, err := s.decode(frozen)
			if d := cmp.Diff(s.want, got); d != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", file, err, d)
			}
		}
	}
}

func wrapHex(b []byte) []byte {
	var out strings.Builder
	for len(b) > 0 {
		n := min(len(b), 32)
		out.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return []byte(out.String())
}

func TestRestamp(t *testing.T) {
	section := samples(t, CodecNone)["records"].section
	Restamp(section, 1<<63, 42)
	h, recs, err := DecodeRecords(section)
	if err != nil {
		t.Fatal(err)
	}
	if h.LinkEpoch != 1<<63 || h.LinkNumber != 42 {
		t.Errorf("stamped %d, %d", h.LinkEpoch, h.LinkNumber)
	}
	if d := cmp.Diff(sampleRecords(), recs); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	Restamp(section[:atHeader-1], 1, 1)
	if h, err := ParseHeader(section); err != nil || h.LinkNumber != 42 {
		t.Errorf("a short section was touched: %v", err)
	}
}

// Any one byte changed, cut off or added is noticed.
func TestDamageIsNoticed(t *testing.T) {
	for name, s := range samples(t, CodecS2) {
		for i := range s.section {
			b := bytes.Clone(s.section)
			b[i] ^= 0x40
			if _, _, err := s.decode(b); !errors.Is(err, ErrSection) {
				t.Errorf("%s: byte %d changed: %v", name, i, err)
			}
			if _, _, err := s.decode(s.section[:i]); !errors.Is(err, ErrSection) {
				t.Errorf("%s: cut at %d: %v", name, i, err)
			}
		}
		if _, _, err := s.decode(append(bytes.Clone(s.section), 0)); !errors.Is(err, ErrSection) {
			t.Errorf("%s: one byte more: %v", name, err)
		}
	}
}

// resum renews the checksum, so that what lies behind it is tried.
func resum(b []byte) []byte {
	if len(b) >= atHeader {
		binary.BigEndian.PutUint32(b[atCRC:], sectionCRC(b))
	}
	return b
}

func TestKindsAreKeptApart(t *testing.T) {
	all := samples(t, CodecNone)
	for name, s := range all {
		for other, o := range all {
			if name == other {
				continue
			}
			if _, _, err := o.decode(s.section); !errors.Is(err, ErrSection) || errors.Is(err, ErrFormat) {
				t.Errorf("%s read as %s: %v", name, other, err)
			}
		}
	}
}

func TestNewerSectionsAreNamed(t *testing.T) {
	section := func(change func(b []byte)) []byte {
		b := samples(t, CodecNone)["mark"].section
		change(b)
		return resum(b)
	}
	// With one byte for the header's length, flags stand at 23; the codec
	// follows flags, resource, revision (two bytes), node.
	const flags, codec = atHeader + 1, atHeader + 1 + 1 + 1 + 2 + 3
	for name, b := range map[string][]byte{
		"format": section(func(b []byte) { b[0] = 2 }),
		"kind":   section(func(b []byte) { b[atKind] = 6 }),
		"flags":  section(func(b []byte) { b[flags] |= 2 }),
		"codec":  section(func(b []byte) { b[codec] = 2 }),
	} {
		if _, err := ParseHeader(b); !errors.Is(err, ErrFormat) || !errors.Is(err, ErrSection) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	h := sampleHeader()
	records := func(change func(h *Header, r *SectionRecord)) error {
		h, r := h, sampleRecords()[1]
		change(&h, &r)
		_, err := EncodeRecords(h, []SectionRecord{r})
		return err
	}
	refusals := func(change func(r *Refusal)) error {
		r := sampleRefusals()[0]
		change(&r)
		_, err := EncodeRefusals(h, []Refusal{r})
		return err
	}
	cursors := func(change func(m *CursorMove)) error {
		m := sampleCursors()[0]
		change(&m)
		_, err := EncodeCursors(h, []CursorMove{m})
		return err
	}
	big := make([]byte, MaxRawBytes+1)
	_, many := EncodeRecords(h, make([]SectionRecord, 0))
	if many != nil {
		t.Errorf("no records: %v", many)
	}
	_, command := EncodeCommand(h, big)
	_, moves := EncodeCursors(h, slicesOf(sampleCursors()[0], MaxCount+1))
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"no op", records(func(_ *Header, r *SectionRecord) { r.Op = 0 }), ErrSection},
		{"system", records(func(_ *Header, r *SectionRecord) { r.System = 2 }), ErrSection},
		{"system below", records(func(_ *Header, r *SectionRecord) { r.System = -1 }), ErrSection},
		{"producer", records(func(_ *Header, r *SectionRecord) { r.Producer = 2 }), ErrSection},
		{"producer below", records(func(_ *Header, r *SectionRecord) { r.Producer = -2 }), ErrSection},
		{"secret", records(func(_ *Header, r *SectionRecord) { r.Secret = r.Secret[1:] }), ErrSection},
		{"two forms", records(func(_ *Header, r *SectionRecord) { r.Producer = 0 }), ErrSection},
		{"codec", records(func(h *Header, _ *SectionRecord) { h.Codec = 2 }), ErrSection},
		{"body", records(func(_ *Header, r *SectionRecord) { r.Body = big }), ErrSectionTooLarge},
		{"header", records(func(h *Header, _ *SectionRecord) { h.Node = strings.Repeat("n", MaxHeaderBytes) }), ErrSectionTooLarge},
		{"refusal op", refusals(func(r *Refusal) { r.Op = 3 }), ErrSection},
		{"refusal more", refusals(func(r *Refusal) { r.More = -1 }), ErrSection},
		{"refusal id", refusals(func(r *Refusal) { r.ID = "other" }), ErrSection},
		{"refusal system", refusals(func(r *Refusal) { r.System = 5 }), ErrSection},
		{"refusal body", refusals(func(r *Refusal) { r.Body = big[:MaxRefusedBytes+1] }), ErrSectionTooLarge},
		{"refusal errors", refusals(func(r *Refusal) { r.Errors = big[:MaxRefusedBytes+1] }), ErrSectionTooLarge},
		{"action", cursors(func(m *CursorMove) { m.Action = 3 }), ErrSection},
		{"delivered", cursors(func(m *CursorMove) { m.Delivered = -1 }), ErrSection},
		{"filtered", cursors(func(m *CursorMove) { m.Filtered = 1 << 40 }), ErrSection},
		{"command", command, ErrSectionTooLarge},
		{"moves", moves, ErrSectionTooLarge},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

func slicesOf[T any](v T, n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = v
	}
	return s
}

func TestRecordID(t *testing.T) {
	h := sampleHeader()
	recs := sampleRecords()
	if got := h.RecordID(&recs[0]); got != "xk.case.2-1-300" {
		t.Error(got)
	}
	if got := h.RecordID(&recs[1]); got != "i-2" {
		t.Error(got)
	}
	if got := h.RefusalID(&sampleRefusals()[0]); got != "xk.case-4-9" {
		t.Error(got)
	}
	recs[0].ID = "xk.case.2-1-300" // its own id is no other form
	if _, err := EncodeRecords(h, recs); err != nil {
		t.Error(err)
	}
}

// A small section that claims much costs little.
func TestHostileSections(t *testing.T) {
	zeros := make([]byte, MaxRawBytes)
	for name, tt := range map[string]struct {
		count, raw int
		codec      uint8
		payload    []byte
	}{
		"many records of nothing": {MaxCount, 0, CodecNone, nil},
		"many records of zeros":   {MaxCount, MaxRawBytes, CodecS2, s2.Encode(nil, zeros)},
		"too many records":        {MaxCount + 1, MaxRawBytes, CodecS2, s2.Encode(nil, zeros)},
		"more than claimed":       {1, 10, CodecS2, s2.Encode(nil, zeros)},
		"claims beyond the bound": {1, MaxRawBytes + 1, CodecS2, s2.Encode(nil, make([]byte, MaxRawBytes+1))},
		"claims four gigabytes":   {1, MaxRawBytes, CodecS2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}},
		"unpacks to 16 megabytes": {1, MaxRawBytes, CodecS2, s2.Encode(nil, make([]byte, 16<<20))},
		"no block":                {1, 5, CodecS2, []byte{5, 0xff, 0xff}},
		"empty block":             {1, 0, CodecS2, nil},
		"shorter than it claims":  {1, 9, CodecNone, []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			h := sampleHeader()
			h.Count, h.RawBytes, h.Codec = tt.count, tt.raw, tt.codec
			header := h.encode()
			for kind := KindRecords; kind <= KindMark; kind++ {
				b := make([]byte, atHeader)
				b[0], b[atKind] = SectionFormat, byte(kind)
				b = append(binary.AppendUvarint(b, uint64(len(header))), header...)
				b = resum(append(b, tt.payload...))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				errs := decodeAll(b)
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
					t.Errorf("%s: allocated %.1f MiB", kind, float64(n)/(1<<20))
				}
				for _, err := range errs {
					if !errors.Is(err, ErrSection) {
						t.Errorf("%s: %v", kind, err)
					}
				}
			}
		})
	}
	if err := func() error {
		_, err := ParseHeader(make([]byte, maxSectionBytes+1))
		return err
	}(); !errors.Is(err, ErrSection) {
		t.Error(err)
	}
}

// One value has one coding: another that means the same is refused.
func TestOneCoding(t *testing.T) {
	h := sampleHeader()
	hashes := make([]byte, 64)
	for name, payload := range map[string][]byte{
		"shortest number": append([]byte{5, 1}, hashes...),
		"longer number":   append([]byte{0x85, 0, 1}, hashes...),
	} {
		b, err := seal(h, KindMark, 1, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := DecodeMark(b); (err == nil) != (name == "shortest number") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, payload := range map[string][]byte{
		"nothing more":        {1, 0, 0, 0, 0, 0, 0},
		"unknown bit":         {1, 0x80, 0, 0, 0, 0, 0},
		"bit of empty reason": {1, hasReason, 0, 0, 0, 0, 0, 0},
		"bit of no time":      {1, hasOccurredAt, 0, 0, 0, 0, 0, 0},
		"bit of empty body":   {1, hasBody, 0, 0, 0, 0, 0, 0},
		"no operation":        {0, 0, 0, 0, 0, 0, 0},
		"system not listed":   {1, 0, 2, 0, 0, 0, 0},
	} {
		b, err := seal(h, KindRecords, 1, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := DecodeRecords(b); (err == nil) != (name == "nothing more") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// decodeAll gives the errors of all decoders; nil ones only where the kind is
// right and the section is.
func decodeAll(b []byte) (errs []error) {
	_, _, records := DecodeRecords(b)
	_, _, refusals := DecodeRefusals(b)
	_, _, cursors := DecodeCursors(b)
	_, _, command := DecodeCommand(b)
	_, _, mark := DecodeMark(b)
	return []error{records, refusals, cursors, command, mark}
}

func TestKindString(t *testing.T) {
	var got []string
	for k := Kind(0); k <= KindMark; k++ {
		got = append(got, k.String())
	}
	if d := cmp.Diff([]string{"unknown", "records", "refusals", "cursors", "command", "mark"}, got); d != "" {
		t.Error(d)
	}
}
