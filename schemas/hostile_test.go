package schemas

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/schemas/record"
)

// hostileSchemas are the schemas of the hostile table (STANDARDS §1.4) and their kin. None of
// them may compile, allocate much, or panic.
func hostileSchemas() map[string][]byte {
	refs := func(levels int, each func(next string) string, last string) []byte {
		var b strings.Builder
		for i := range levels {
			fmt.Fprintf(&b, `"d%d":%s,`, i, each(fmt.Sprintf("#/$defs/d%d", i+1)))
		}
		return object(`"a":{"$ref":"#/$defs/d0"}`, `"$defs":{`+b.String()+fmt.Sprintf(`"d%d":%s`, levels, last)+`}`)
	}
	const text = `{"type":"string","maxLength":5}`
	return map[string][]byte{
		"2^22 allOf bomb": refs(22, func(n string) string { return `{"allOf":[{"$ref":"` + n + `"},{"$ref":"` + n + `"}]}` }, text),
		"2^22 anyOf bomb": refs(22, func(n string) string { return `{"anyOf":[{"$ref":"` + n + `"},{"$ref":"` + n + `"}]}` }, text),
		"2^22 properties": refs(22, func(n string) string {
			return `{"type":"object","additionalProperties":false,"properties":{"x":{"$ref":"` + n + `"},"y":{"$ref":"` + n + `"}}}`
		}, text),
		"arrays of arrays with many branches": object(`"a":{"type":"array","maxItems":10000,"items":{"type":"integer","allOf":[` + strings.TrimSuffix(strings.Repeat(`{"minimum":1},`, 1000), ",") + `]}}`),
		"9,000 deep":                          object(`"a":` + strings.Repeat(`{"not":`, 9000) + `{}` + strings.Repeat(`}`, 9000)),
		"33 subschemas deep":                  object(`"a":` + strings.Repeat(`{"not":`, 33) + `{}` + strings.Repeat(`}`, 33)),
		"20,000 subschemas":                   object(`"a":{"type":"integer","allOf":[` + strings.TrimSuffix(strings.Repeat(`{},`, 20_000), ",") + `]}`),
		"a megabyte":                          object(`"a":{"title":"` + strings.Repeat("甲", 350_000) + `","type":"integer"}`),
		"reference to itself":                 object(`"a":{"$ref":"#/properties/a"}`),
		"cycle of two":                        object(`"a":{"$ref":"#/properties/b"},"b":{"$ref":"#/properties/a"}`),
		"cycle by allOf":                      object(`"a":{"allOf":[{"$ref":"#/properties/a"}]}`),
		"tree that doubles":                   object(`"a":{"$ref":"#/$defs/t"}`, `"$defs":{"t":{"type":"object","additionalProperties":false,"allOf":[{"properties":{"c":{"$ref":"#/$defs/t"}}},{"properties":{"c":{"$ref":"#/$defs/t"}}}]}}`),
		"file reference":                      object(`"a":{"$ref":"file:///etc/hostname"}`),
		"file as dialect":                     []byte(`{"$schema":"file:///etc/hostname","type":"object","additionalProperties":false}`),
		"address as dialect":                  []byte(`{"$schema":"http://192.0.2.1/s","type":"object","additionalProperties":false}`),
		"counted repeats":                     object(`"a":{"type":"string","maxLength":9,"pattern":"(x{1,1000}){1,1000}"}`),
		"nested counted repeats":              object(`"a":{"type":"string","maxLength":9,"pattern":"(((a{1,30}){1,30}){1,30}){1,30}"}`),
		"program of a pattern":                object(`"a":{"type":"string","maxLength":9,"pattern":"(\\pL{1,1000}|\\pN{1,1000}){1,1}\\pL{1000}\\pN{1000}"}`),
		"long exponent":                       object(`"a":{"type":"number","maximum":1e10000000}`),
		"million digits":                      object(`"a":{"type":"number","maximum":` + strings.Repeat("9", 200_000) + `}`),
		"lone surrogate":                      object(`"a\ud800":{"type":"integer"}`),
		"everything in one name":              object(`"` + strings.Repeat("/~", 10_000) + `":{"type":"string"}`),
	}
}

func TestHostileSchemas(t *testing.T) {
	for name, raw := range hostileSchemas() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Compile("test.hostile", 1, raw)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it compiled")
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("refusing it allocated %d MiB", used>>20)
			}
		})
	}
}

// hostileBodies are records that are legal JSON within the reader's limits and hard on a validator.
func hostileBodies() map[string]string {
	return map[string]string{
		"10,000 wrong elements": `{"list":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 9_990), ",") + `]}`,
		"4,000 unknown members": func() string {
			var b strings.Builder
			for i := range 4_000 {
				fmt.Fprintf(&b, `"m%d":%d,`, i, i)
			}
			return `{` + strings.TrimSuffix(b.String(), ",") + `}`
		}(),
		"a long text":            `{"p":"` + strings.Repeat("a", 200_000) + `"}`,
		"a name of 100,000":      `{"` + strings.Repeat("x", 100_000) + `":1}`,
		"the largest exponent":   `{"n":1e400}`,
		"the smallest":           `{"n":1e-400}`,
		"sixty digits":           `{"n":` + strings.Repeat("9", 60) + `}`,
		"sixty levels":           `{"list":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`,
		"a thousand, all unique": `{"u":[` + strings.TrimSuffix(strings.Repeat(`{"a":1},`, 1000), ",") + `]}`,
	}
}

func hostileTarget(t testing.TB) *Schema {
	return compiled(t, object(`"list":{"type":"array","maxItems":10000,"items":{"type":"integer"}},"p":{"type":"string","maxLength":262144,"pattern":"(a+)+$|(a*)*b"},
		"n":{"type":"number","minimum":-1e300,"multipleOf":0.01},"u":{"type":"array","maxItems":1000,"uniqueItems":true,"items":{"type":"object","additionalProperties":{"type":"integer"}}}`))
}

func TestHostileBodies(t *testing.T) {
	s := hostileTarget(t)
	for name, body := range hostileBodies() {
		t.Run(name, func(t *testing.T) {
			_, value, err := record.Decode([]byte(body), record.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			v := s.Validate(value)
			text := EncodeViolations(v.Violations)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("judging it allocated %d MiB", used>>20)
			}
			if len(v.Violations) > MaxViolations || len(text) > 16<<10 {
				t.Errorf("a report of %d violations and %d bytes", len(v.Violations), len(text))
			}
		})
	}
}

func BenchmarkHostileSchemas(b *testing.B) {
	for name, raw := range hostileSchemas() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile("test.hostile", 1, raw); err == nil {
					b.Fatal("it compiled")
				}
			}
		})
	}
}

func BenchmarkHostileBodies(b *testing.B) {
	s := hostileTarget(b)
	for name, body := range hostileBodies() {
		b.Run(name, func(b *testing.B) {
			value := decode(b, []byte(body))
			b.ReportAllocs()
			for b.Loop() {
				s.Validate(value)
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, name := range Embedded() {
		b.Run(name, func(b *testing.B) {
			s := embedded(b, name)
			valid, _ := EmbeddedExamples(name)
			var bodies []any
			bytes := 0
			for _, raw := range valid {
				bodies, bytes = append(bodies, decode(b, raw)), bytes+len(raw)
			}
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			for b.Loop() {
				for _, v := range bodies {
					s.Validate(v)
				}
			}
			b.ReportMetric(float64(len(bodies))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	raw, _ := EmbeddedSchema("approvals.case", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile("approvals.case", 1, raw); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, name := range Embedded() {
		raw, _ := EmbeddedSchema(name, 1)
		f.Add(raw, []byte(`{"a":1}`))
	}
	for _, raw := range hostileSchemas() {
		if len(raw) < 4096 {
			f.Add(raw, []byte(`{"a":"x"}`))
		}
	}
	f.Add(object(`"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/t"}]}`, `"$defs":{"t":{"type":"string","pattern":"^\\p{Han}+$","maxLength":3}}`), []byte(`{"a":"汉"}`))
	f.Fuzz(func(t *testing.T, raw, body []byte) {
		findings := Lint(raw)
		s, err := Compile("test.fuzz", 1, raw)
		if findings.Refused() != (err != nil) {
			t.Fatalf("Lint says refused=%v, Compile says %v", findings.Refused(), err)
		}
		if s == nil {
			return
		}
		_, value, err := record.Decode(body, record.DefaultLimits())
		if err != nil {
			return
		}
		checkVerdict(t, s, value)
	})
}

func FuzzValidate(f *testing.F) {
	var all []*Schema
	for i, name := range Embedded() {
		all = append(all, embedded(f, name))
		valid, invalid := EmbeddedExamples(name)
		for _, examples := range []map[string][]byte{valid, invalid} {
			for _, raw := range examples {
				f.Add(uint8(i), raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		_, value, err := record.Decode(body, record.DefaultLimits())
		if err != nil {
			return
		}
		checkVerdict(t, all[int(which)%len(all)], value)
	})
}

// checkVerdict holds what is true of every verdict: bounded, sorted, said in words, the same twice, storable.
func checkVerdict(t *testing.T, s *Schema, value any) {
	v := s.Validate(value)
	if len(v.Violations) > MaxViolations || v.More > 0 && len(v.Violations) < MaxViolations || len(v.Violations) > 0 && v.Warnings != nil {
		t.Fatalf("verdict out of bounds: %d, %d more", len(v.Violations), v.More)
	}
	for i, x := range v.Violations {
		if x.Code == "" || x.Keyword == "" || i > 0 && comparePointers(v.Violations[i-1].Pointer, x.Pointer) > 0 {
			t.Fatalf("violation %d: %+v", i, x)
		}
		if x.Keyword == "internal" {
			t.Fatalf("the validator could not judge %v", value)
		}
		if s.Sentence(x, Chinese, nil, "") == "" || s.Sentence(x, English, &Place{Row: 1, Column: "C"}, "x") == "" {
			t.Fatal("no sentence")
		}
	}
	first := EncodeViolations(v.Violations)
	if second := EncodeViolations(s.Validate(value).Violations); string(first) != string(second) {
		t.Fatalf("two verdicts:\n%s\n%s", first, second)
	}
	if !json.Valid(first) {
		t.Fatalf("not storable: %s", first)
	}
}
