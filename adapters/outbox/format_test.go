package outbox

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write the goldens anew")

// The bytes on disk, frozen: a change needs a new format byte.
func TestFormatGolden(t *testing.T) {
	var b strings.Builder
	line := func(name string, raw []byte) { fmt.Fprintf(&b, "%-22s %s\n", name, hex.EncodeToString(raw)) }
	line("key meta", []byte{tableMeta})
	line("key resource", nameKey(tableResource, "approvals.case"))
	line("key queue", numberKey(tableQueue, "approvals.case", 258))
	line("key cursor", nameKey(tableCursor, "cases"))
	line("key row", tailKey(tableRow, "approvals.case", "办-1"))
	line("key counter", counterKey("2025-03-01", "cases"))
	line("key total", counterKey(totalDay, "cases"))
	line("key unit", tailKey(tableUnit, "cases", "ab12"))
	line("key refusal", numberKey(tableRefusal, "cases", 1))
	line("key verdict", numberKey(tableVerdict, "cases", 1))
	line("key ledger", tailKey(tableLedger, "cases", "ab12"))
	e := sampleEntry()
	line("entry", e.encode())
	line("row settled", (&rowState{flags: hasSettled, settled: rowHash{1, 2, 3}}).encode())
	line("row pending", (&rowState{flags: hasSettled | hasPending, settled: rowHash{1}, pending: rowHash{2}, seq: 300}).encode())
	line("queue", encodeJSON(queue{Next: 3, Low: 1, Bytes: 20}))
	line("counts", encodeJSON(Counts{Read: 9, Filtered: 1, Refused: 2, Unchanged: 3, Queued: 3, Accepted: 1, Rejected: 1}))
	line("refusal", encodeJSON(Refusal{Key: "k", Unit: "u", Origin: []byte("o"), Reasons: []byte(`[]`), At: 5}))
	const path = "testdata/format.golden"
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("bytes on disk (-want +got):\n%s", diff)
	}
}

func sampleEntry() entry {
	return entry{at: 1740787200000, hash: rowHash{7, 8, 9}, stream: "cases", unit: "ab12", key: "办-1", origin: []byte(`{"row":2}`), wire: []byte(`{"key":"办-1","seq":258}`)}
}

func TestEntryRoundTrip(t *testing.T) {
	want := sampleEntry()
	raw := want.encode()
	got, err := decodeEntry(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Error(diff)
	}
	if _, err := decodeEntry(append([]byte{9}, raw[1:]...)); !errors.Is(err, ErrFormat) {
		t.Errorf("another format: %v, want ErrFormat", err)
	}
	for n := range len(raw) - len(want.wire) {
		if _, err := decodeEntry(raw[:n]); err == nil {
			t.Errorf("an entry of %d bytes was read", n)
		}
	}
}

func FuzzStoredValues(f *testing.F) {
	e := sampleEntry()
	f.Add(e.encode())
	f.Add((&rowState{flags: hasSettled | hasPending, seq: 300}).encode())
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := decodeEntry(raw); err == nil {
			again, err := decodeEntry(e.encode())
			if err != nil || !cmp.Equal(e.wire, again.wire) || e.key != again.key {
				t.Fatalf("entry %+v comes back as %+v, %v", e, again, err)
			}
		}
		if s, err := decodeRowState(raw); err == nil {
			if again, err := decodeRowState(s.encode()); err != nil || again.encode()[1] != s.flags {
				t.Fatalf("row %+v comes back as %+v, %v", s, again, err)
			}
		}
	})
}
