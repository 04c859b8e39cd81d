package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// sharedData opens a gzipped file of the shared data, or skips where there is
// none outside CI.
func sharedData(t testing.TB, name string) *gzip.Reader {
	t.Helper()
	dir := os.Getenv("HUTONG_SHARED_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("shared data: %v", err)
		}
		t.Skipf("no shared data (set HUTONG_SHARED_DATA): %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func permits(t testing.TB) (lines [][]byte) {
	s := bufio.NewScanner(sharedData(t, "approvals/chicago-permits-2025.ndjson.gz"))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	if s.Err() != nil || len(lines) == 0 {
		t.Fatalf("%d lines: %v", len(lines), s.Err())
	}
	return lines
}

// councilBills are pieces of Chinese JSON of some kilobytes, as published.
func councilBills(t testing.TB) (bills []json.RawMessage) {
	if err := json.NewDecoder(sharedData(t, "proposals/tw-council-bills-tccc.json.gz")).Decode(&bills); err != nil {
		t.Fatal(err)
	}
	return bills
}

// Every published permit and bill is read as encoding/json reads it, and
// survives a section packed with s2.
func TestSharedData(t *testing.T) {
	docs := permits(t)
	for _, b := range councilBills(t) {
		docs = append(docs, b)
	}
	var recs []SectionRecord
	raw := 0
	h := Header{Codec: CodecS2, Systems: []string{"xk.case"}}
	flush := func() {
		section, err := EncodeRecords(h, recs)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := DecodeRecords(section)
		if err != nil || !reflect.DeepEqual(recs, got) {
			t.Fatalf("a section of %d records came back otherwise: %v", len(recs), err)
		}
		recs, raw = nil, 0
	}
	for i, doc := range docs {
		compact, value, err := Decode(doc, Limits{})
		if err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		var plain bytes.Buffer
		if err := json.Compact(&plain, doc); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, value) || !bytes.Equal(plain.Bytes(), compact) {
			t.Fatalf("document %d is read otherwise than by encoding/json", i)
		}
		recs = append(recs, SectionRecord{Op: Upsert, Producer: -1, ID: index(i), Key: index(i), Body: compact})
		if raw += len(compact); raw > 256<<10 {
			flush()
		}
	}
	flush()
}
