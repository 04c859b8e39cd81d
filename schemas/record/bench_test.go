package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// benchDoc is a record of a county with Chinese text, about n bytes long.
func benchDoc(n int) []byte {
	const field = `"material_%":{"name":"身份证明材料","required":true,"copies":2,"fee":12.50,"note":"原件核对，复印件存档"}`
	b := []byte(`{"case_no":"5116-2025-000123","task_name":"食品经营许可","dept_code":"11511600MB1234567X","status":"accepted","accepted_at":"2025-03-04T09:30:00+08:00"`)
	for i := 0; len(b)+len(field) < n; i++ {
		b = append(append(b, ','), strings.Replace(field, "%", index(i), 1)...)
	}
	return append(b, '}')
}

var benchSizes = []struct {
	name  string
	bytes int
}{{"512B", 512}, {"2KiB", 2 << 10}, {"64KiB", 64 << 10}}

func BenchmarkDecode(b *testing.B) {
	for _, size := range benchSizes {
		doc := benchDoc(size.bytes)
		b.Run("record/"+size.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Decode(doc, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+size.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				var v any
				d := json.NewDecoder(bytes.NewReader(doc))
				d.UseNumber()
				if err := d.Decode(&v); err != nil {
					b.Fatal(err)
				}
				var compact bytes.Buffer
				if err := json.Compact(&compact, doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := Record{ID: "018f3c1e-7b1a-7cc0-8000-000000000001", Op: Upsert, Data: benchDoc(2 << 10), OccurredAt: 1738526706789}
	line := r.Encode()
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecord(line, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, tt := range hostile() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = Decode(tt.in, Limits{RecordBytes: 16 << 20})
			}
		})
	}
}

func BenchmarkMembers(b *testing.B) {
	doc := benchDoc(2 << 10)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := Members(doc, func(string, []byte) error { n++; return nil }); err != nil || n == 0 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkSection codes the sections of 256 KiB that nodes send each other.
func BenchmarkSection(b *testing.B) {
	h := Header{Codec: CodecS2, Node: "n1", Systems: []string{"xk.case"}, Producers: []Producer{{"xk.case", 1}}}
	var recs []SectionRecord
	for i := range 128 {
		recs = append(recs, SectionRecord{Op: Upsert, Seq: uint64(i + 1), Key: "5116-" + index(i), SchemaVersion: 1, Body: benchDoc(2 << 10)})
	}
	section, err := EncodeRecords(h, recs)
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := ParseHeader(section)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(parsed.RawBytes))
			b.ReportAllocs()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(section))/float64(len(recs)), "bytes/record")
		})
	}
	run("encode", func() error { _, err := EncodeRecords(h, recs); return err })
	run("decode", func() error { _, _, err := DecodeRecords(section); return err })
	run("header", func() error { _, err := ParseHeader(section); return err })
	run("restamp", func() error { Restamp(section, 2, 3); return nil })
}

func BenchmarkCommitment(b *testing.B) {
	doc := benchDoc(2 << 10)
	b.Run("body", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Commitment(TagBody, [32]byte{1}, doc)
		}
	})
	b.Run("secret", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			RecordSecret([32]byte{1}, 7)
		}
	})
}
