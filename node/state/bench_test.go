package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// BenchmarkApply applies batches of new records, as a busy node does: sections
// of 100 records, four sections an entry, two entries a call. The database lies
// on disk.
func BenchmarkApply(b *testing.B) {
	for _, form := range []string{"id", "producer"} {
		for _, size := range []int{512, 2048} {
			b.Run(fmt.Sprintf("%s/%d", form, size), func(b *testing.B) { benchApply(b, form, size) })
		}
	}
}

func benchApply(b *testing.B, form string, size int) {
	const perSection, sections, entries = 100, 4, 2
	r := &rig{tb: b, now: testStart, node: "n1", epoch: 1}
	db, err := store.OpenState(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if r.m, err = Open(db, Config{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.m.Close() })
	r.bootstrap()
	h := r.header("approvals.case", "fagai.pub")
	n := uint64(0)
	make1 := func() record.SectionRecord {
		n++
		rec := seq(n, fmt.Sprintf("511600-2026-%07d", n))
		rec.Body = fmt.Appendf(nil, `{"case_no":"511600-2026-%07d","pad":"%s"}`, n, bytes.Repeat(fmt.Appendf(nil, "%x", sha256.Sum256(fmt.Append(nil, n))), size/64-1))
		if form == "id" {
			rec.Producer, rec.Seq, rec.ID = -1, 0, fmt.Sprintf("01890000-0000-7000-8000-%012d", n)
		}
		return rec
	}
	if form == "producer" {
		h.Producers = []record.Producer{{ID: "fagai.pub", Epoch: 1}}
	}
	b.ReportAllocs()
	var bytesIn int64
	total := 0
	for b.Loop() {
		b.StopTimer()
		var es []Entry
		for range entries {
			var ss [][]byte
			for range sections {
				recs := make([]record.SectionRecord, perSection)
				for i := range recs {
					recs[i] = make1()
				}
				r.next++
				h.LinkNumber = r.next
				h.Secret = sha256.Sum256(fmt.Append(nil, r.next))
				s, err := record.EncodeRecords(h, recs)
				if err != nil {
					b.Fatal(err)
				}
				bytesIn += int64(len(s))
				ss = append(ss, s)
			}
			r.index++
			es = append(es, Entry{Index: r.index, Time: r.now, Sections: ss})
		}
		b.StartTimer()
		out, err := r.m.Apply(es)
		if err != nil {
			b.Fatal(err)
		}
		total += perSection * sections * entries
		if out[0][0].Records[0].Status != StatusAccepted {
			b.Fatal(words(out[0][0]))
		}
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(bytesIn)/float64(total), "section-B/record")
}
