package deploy

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// Sizes of the run: bills of each council, steps of the last one.
const (
	billsTaichung  = 2147
	billsNewTaipei = 2390
	billsTaipei    = 536
	billsInFiles   = billsTaichung + billsNewTaipei + billsTaipei
	stepsInFile    = 2221
	stepsNoName    = 60
	stepsROC       = 235 // dates as 民國89年6月21日
	stepsISO       = 1926
)

// bill is what the test reads of a bill by itself.
type bill struct {
	County, ID, Abstract, Description string
	Motions                           []struct{ Motion, Date *string }
}

func readBills(t *testing.T, raw string) []bill {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var out []bill
	if err := json.NewDecoder(z).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBills brings the bills of three councils and the steps of one of them
// onto the bus from two drop folders of one adapter.
func TestBills(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"tccc", "ntp", "tcc-half"} {
		files[name] = readShared(t, "proposals/tw-council-bills-"+name+".json.gz")
	}
	c := startCluster(t, 1)
	publisher := c.join(t, "rdb", "bills", "publisher, reviewer")
	subscriber := c.join(t, "tab", "books", "subscriber")
	c.resource(t, `{resource: motions.motion, title: {zh: 建议提案}, owner: rdb, key: [body, motion_no], sharing: unconditional, erasable: true, disclosure: {route: none}}`, "motions.motion")
	c.resource(t, `{resource: motions.step, title: {zh: 建议提案过程}, owner: rdb, key: [motion_key, step_no], sharing: unconditional, disclosure: {route: none}}`, "motions.step")
	subscribeAll(t, c, "motions.motion", "rdb.bills", "tab.books", "bills")
	subscribeAll(t, c, "motions.step", "rdb.bills", "tab.books", "steps")
	d := newDrops(t, c, "rdb.bills", "bills motions.motion council-bills accept: stable, stable_polls: 20", "steps motions.step council-bill-steps accept: rename")
	for name, raw := range files {
		d.put(t, "bills", name+".json.gz", raw)
	}
	// With -once the program waits for files that have not stood still yet.
	run(t, "hutong-adapter", "run", "-once", "-config", d.config)
	d.put(t, "steps", "tcc-half.json.gz", files["tcc-half"])
	run(t, "hutong-adapter", "run", "-once", "-config", d.config)

	for name, n := range map[string]int{"tccc": billsTaichung, "ntp": billsNewTaipei, "tcc-half": billsTaipei} {
		wantCounts(t, d.answered(t, "bills", name+".json.gz"), counts{Read: n, Accepted: n})
	}
	wantCounts(t, d.answered(t, "steps", "tcc-half.json.gz"), counts{Read: stepsInFile, Refused: stepsNoName, Accepted: stepsInFile - stepsNoName})
	motions, steps := &received{seen: map[string][]string{}}, &received{seen: map[string][]string{}}
	motions.all(t, subscriber, "bills")
	steps.all(t, subscriber, "steps")
	billsArrived(t, motions, files)
	last := readBills(t, files["tcc-half"])
	stepsArrived(t, steps, motions, last)
	namelessRefused(t, d, last)
	billsAddUp(t, d, motions, steps, quarantined(t, publisher))
}

// billsAddUp holds the adapter's own count against what the bus handed out.
func billsAddUp(t *testing.T, d *drops, motions, steps *received, rejected int) {
	t.Helper()
	want := map[string]counts{
		"bills": {Read: billsInFiles, Queued: motions.total, Accepted: motions.total},
		"steps": {Read: stepsInFile, Refused: stepsNoName, Queued: steps.total, Accepted: steps.total},
	}
	have := map[string]counts{}
	for _, s := range d.settled(t) {
		t.Logf("stream %s: %+v, %d open refusals", s.Name, s.Counts, s.OpenRefusals)
		if open := map[string]int{"steps": stepsNoName}[s.Name]; s.OpenRefusals != open {
			t.Errorf("stream %s: %d open refusals, want %d", s.Name, s.OpenRefusals, open)
		}
		s.Counts.Warnings = 0
		have[s.Name] = s.Counts
	}
	if diff := cmp.Diff(want, have); diff != "" || rejected != 0 {
		t.Errorf("status (-bus +adapter), %d in quarantine:\n%s", rejected, diff)
	}
}

// billsArrived checks every bill: its key, its whole text, its title.
func billsArrived(t *testing.T, motions *received, files map[string]string) {
	t.Helper()
	n, cut := 0, 0
	for _, raw := range files {
		for _, b := range readBills(t, raw) {
			n++
			versions := motions.seen[b.County+"|"+b.ID]
			if len(versions) != 1 {
				t.Fatalf("%s %s: %d versions", b.County, b.ID, len(versions))
			}
			var got struct{ Body, Motion_No, Title, Content string }
			if err := json.Unmarshal([]byte(versions[0]), &got); err != nil {
				t.Fatal(err)
			}
			if got.Body != b.County || got.Motion_No != b.ID || !strings.Contains(got.Content, b.Abstract) || !strings.Contains(got.Content, b.Description) {
				t.Errorf("%s %s: text was lost: %s", b.County, b.ID, versions[0])
			}
			title, long := strings.CutSuffix(got.Title, "…")
			length := utf8.RuneCountInString(got.Title)
			switch whole := strings.TrimSpace(strings.ReplaceAll(b.Abstract, "\u00a0", " ")); {
			case utf8.RuneCountInString(whole) <= 200 && got.Title != whole:
				t.Errorf("%s %s: the title is %q, want %q", b.County, b.ID, got.Title, whole)
			case utf8.RuneCountInString(whole) > 200 && (!long || length > 200 || length < 190 || !strings.HasPrefix(whole, title)):
				t.Errorf("%s %s: the title is %q, %d characters", b.County, b.ID, got.Title, length)
			case utf8.RuneCountInString(whole) > 200:
				cut++
			}
		}
	}
	if n != billsInFiles || motions.total != n || len(motions.seen) != n || cut == 0 {
		t.Errorf("%d bills in the files, %d records of %d keys on the bus, %d titles cut", n, motions.total, len(motions.seen), cut)
	}
	t.Logf("%d bills on the bus, %d titles cut", motions.total, cut)
}

var rocDate = regexp.MustCompile(`^民國(\d+)年(\d+)月(\d+)日$`)

// isoDate is the test's own reading of a date.
func isoDate(t *testing.T, date string) (iso string, roc bool) {
	t.Helper()
	p := rocDate.FindStringSubmatch(date)
	if p == nil {
		return date, false
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(p[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%04d-%02d-%02d", n[0]+1911, n[1], n[2]), true
}

// stepsArrived checks every step that has a name: its place, its date, and that
// it leads to its bill.
func stepsArrived(t *testing.T, steps, motions *received, last []bill) {
	t.Helper()
	type step struct {
		MotionKey string `json:"motion_key"`
		StepNo    int    `json:"step_no"`
		Name      string `json:"name"`
		At        string `json:"at"`
	}
	want, have := map[step]bool{}, map[step]bool{}
	roc, iso := 0, 0
	for _, b := range last {
		for k, m := range b.Motions {
			if m.Motion == nil {
				continue
			}
			s := step{MotionKey: b.County + "|" + b.ID, StepNo: k + 1, Name: *m.Motion}
			if m.Date != nil {
				var wasROC bool
				if s.At, wasROC = isoDate(t, *m.Date); wasROC {
					roc++
				} else {
					iso++
				}
			}
			want[s] = true
		}
	}
	for key, versions := range steps.seen {
		var s step
		if err := json.Unmarshal([]byte(versions[0]), &s); err != nil {
			t.Fatal(err)
		}
		if len(motions.seen[s.MotionKey]) == 0 {
			t.Errorf("step %s is of bill %q, which is not on the bus", key, s.MotionKey)
		}
		have[s] = true
	}
	if diff := cmp.Diff(want, have); diff != "" || steps.total != len(want) {
		t.Errorf("%d records (-file +bus):\n%s", steps.total, diff)
	}
	if roc != stepsROC || iso != stepsISO || len(want) != stepsInFile-stepsNoName {
		t.Errorf("the file holds %d steps with a name, %d dates of the Republic's calendar, %d others", len(want), roc, iso)
	}
	t.Logf("%d steps on the bus, %d of their dates were of the Republic's calendar, %d ISO", steps.total, roc, iso)
}

var stepReason = regexp.MustCompile(`^第(\d+)项 第(\d+)行.*“环节名称”`)

// namelessRefused checks that the error file names each step without a name,
// and nothing else.
func namelessRefused(t *testing.T, d *drops, last []bill) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, "drop", "steps", "feedback", "tcc-half.错误.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back []struct {
		ID     string `json:"id"`
		Row    string `json:"_行号"`
		Reason string `json:"_原因"`
		Remedy string `json:"_建议"`
	}
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	want, have := map[string]bool{}, map[string]bool{}
	for i, b := range last {
		for k, m := range b.Motions {
			if m.Motion == nil {
				want[fmt.Sprintf("bill %s in row %d, step %d", b.ID, i+1, k+1)] = true
			}
		}
	}
	for _, b := range back {
		for reason := range strings.SplitSeq(b.Reason, "; ") {
			p := stepReason.FindStringSubmatch(reason)
			if p == nil || p[2] != b.Row || b.Remedy == "" {
				t.Fatalf("row %s: %q | %q", b.Row, reason, b.Remedy)
			}
			have[fmt.Sprintf("bill %s in row %s, step %s", b.ID, b.Row, p[1])] = true
		}
	}
	if diff := cmp.Diff(want, have); diff != "" || len(want) != stepsNoName {
		t.Errorf("steps without a name (-file +refused), %d in the file:\n%s", len(want), diff)
	}
	t.Logf("%d steps refused in %d bills; first: %s 改法:%s", len(have), len(back), back[0].Reason, back[0].Remedy)
}
