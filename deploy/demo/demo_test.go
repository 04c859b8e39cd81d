package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// everything is all that is sent of a resource, in order.
func everything(s story, resource string) []item {
	if resource == "motions.handling" {
		return s.replies(true)
	}
	return slices.Concat(s.first[resource], s.corrections(resource), s.later[resource])
}

func compiled(t *testing.T, resource string) *schemas.Schema {
	t.Helper()
	raw, ok := schemas.EmbeddedSchema(resource, 1)
	if !ok {
		t.Fatalf("no embedded schema of %s", resource)
	}
	s, err := schemas.Compile(resource, 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func value(t *testing.T, b body) any {
	t.Helper()
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	_, v, err := record.Decode(raw, record.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestStoryIsTheSameEachTime: one seed, one county.
func TestStoryIsTheSameEachTime(t *testing.T) {
	for _, r := range resources() {
		a, b := everything(newStory(), r), everything(newStory(), r)
		if diff := cmp.Diff(a, b, cmp.AllowUnexported(item{})); diff != "" {
			t.Errorf("%s differs between two makings (-first +second):\n%s", r, diff)
		}
	}
}

// TestStoryFitsTheSchemas: what is right is accepted by the shared schemas, and
// what is wrong on purpose, as far as adapters find it, is refused.
func TestStoryFitsTheSchemas(t *testing.T) {
	s := newStory()
	for _, r := range resources() {
		schema := compiled(t, r)
		for i, it := range everything(s, r) {
			v := value(t, it.body)
			verdict := schema.Validate(v)
			refused := it.wrong == byAdapter || it.wrong == byBus && r == "org.unit"
			if (len(verdict.Violations) > 0) != refused {
				t.Errorf("%s %d (%s): wrong %q, violations %+v", r, i, keyOf(r, it.body), it.wrong, verdict.Violations)
			}
			key, err := record.KeyOf(v, keys[r])
			if it.wrong == "" && (err != nil || key != keyOf(r, it.body)) {
				t.Errorf("%s %d: key %q, %v, want %q", r, i, key, err, keyOf(r, it.body))
			}
		}
	}
}

// TestStoryIsACounty: a few hundred records of each kind, a handful wrong of
// most, keys that mean one thing, and nothing personal outside its field.
func TestStoryIsACounty(t *testing.T) {
	s := newStory()
	atLeast := map[string]int{"org.unit": 30, "approvals.service_item": 40, "approvals.case": 280, "approvals.event": 700, "motions.motion": 200, "motions.step": 300, "motions.handling": 300, "projects.project": 150, "projects.disclosure": 90}
	for _, r := range resources() {
		e := s.expect(r, true)
		if e.records < atLeast[r] {
			t.Errorf("%s has %d records, want at least %d", r, e.records, atLeast[r])
		}
		wrong := e.refused + e.rejected
		if r != "motions.handling" && (wrong == 0 || wrong > 8) {
			t.Errorf("%s has %d wrong records, want a handful", r, wrong)
		}
		first := map[string]string{}
		for i, it := range s.first[r] {
			key := keyOf(r, it.body)
			if it.wrong == "" && first[key] != "" {
				t.Errorf("%s %d: key %s is that of %s already", r, i, key, first[key])
			}
			if it.wrong == "" {
				first[key] = fmt.Sprint(i)
			}
		}
	}
}

// TestLaterRecordsDiffer: what is sent later is news to the bus, else an adapter
// would find it unchanged and the counts would not add up.
func TestLaterRecordsDiffer(t *testing.T) {
	s := newStory()
	for r := range s.later {
		last := s.expect(r, false).last
		for i, it := range s.later[r] {
			before, known := last[keyOf(r, it.body)]
			if known && cmp.Equal(before, it.body) {
				t.Errorf("%s %d is the same as before", r, i)
			}
			if it.wrong == "" {
				last[keyOf(r, it.body)] = it.body
			}
		}
	}
	if len(s.later["approvals.case"]) < 20 || len(s.later["projects.disclosure"]) != len(disclosers) {
		t.Errorf("later come %d cases and %d disclosures", len(s.later["approvals.case"]), len(s.later["projects.disclosure"]))
	}
}

// TestPausesAreCounted: a case's paused days are those of its events.
func TestPausesAreCounted(t *testing.T) {
	s := newStory()
	days, stands := map[any]int{}, map[any]bool{}
	for _, it := range everything(s, "approvals.event") {
		switch no := it.body["case_no"]; it.body["kind"] {
		case "计时暂停":
			stands[no] = true
		case "计时恢复":
			stands[no] = false
			days[no] += it.body["paused_workdays"].(int)
		}
	}
	for _, b := range s.expect("approvals.case", true).last {
		got, _ := b["paused_workdays"].(int)
		if got != days[b["case_no"]] || (b["status"] == "计时暂停") != stands[b["case_no"]] {
			t.Errorf("case %v: %d days paused, its events say %d; status %v", b["case_no"], got, days[b["case_no"]], b["status"])
		}
	}
}

// TestRepliesComeFromTheirUnits: each motion has one lead, and each reply is of
// a unit that the motion names.
func TestRepliesComeFromTheirUnits(t *testing.T) {
	s := newStory()
	leads := map[any]int{}
	for _, it := range s.replies(true) {
		if it.body["role"] != "会办" {
			leads[it.body["motion_key"]]++
		}
		if it.body["unit"] != unitCode(it.dept) {
			t.Errorf("%v answers for %v", it.dept, it.body["unit"])
		}
	}
	for key := range s.expect("motions.motion", true).last {
		if leads[key] != 1 {
			t.Errorf("motion %s has %d leading units", key, leads[key])
		}
	}
}

// TestGrantsNameFieldsOfTheirResource and that no grant asks for what the schema
// withholds.
func TestGrantsNameFieldsOfTheirResource(t *testing.T) {
	for _, o := range orders() {
		fields := map[string]string{}
		for _, a := range compiled(t, o.resource).Annotations() {
			if len(a.Pointer) == 1 {
				fields[a.Pointer[0]] = a.Sharing
			}
		}
		for _, f := range o.fields {
			if class, ok := fields[f]; !ok || class == schemas.SharingWithheld {
				t.Errorf("grant %s: field %s is %q of %v", o.grant, f, class, slices.Sorted(maps.Keys(fields)))
			}
		}
	}
}

// TestCatalogueFits: every entry is valid and fits its embedded schema.
func TestCatalogueFits(t *testing.T) {
	entries := catalogue()
	for i := range entries {
		r := &entries[i]
		for _, err := range append(r.Validate(), r.ValidateAgainst(compiled(t, r.Resource))...) {
			t.Errorf("%s: %v", r.Resource, err)
		}
	}
	if len(entries) != len(keys) {
		t.Errorf("%d entries for %d resources", len(entries), len(keys))
	}
}
