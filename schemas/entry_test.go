package schemas

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func validEntry() Resource {
	return Resource{Resource: "approvals.case", Title: Title{Zh: "办件", En: "Case"}, Owner: "dianzi", Publishers: []string{"fagai", "group:towns"}, Key: []string{"case_no"},
		Sharing: SharingConditional, SchemaVersion: 1, Erasable: true, Retention: "P3Y",
		Fields:     map[string]FieldRule{"amount": {Portal: PortalNever}, "applicant_name": {Sharing: SharingWithheld}},
		Disclosure: Disclosure{Route: RouteReviewed, Steps: []Step{{"初审", "reviewer", StepPublisher}, {"保密审查", "reviewer", "baomi"}}},
		Feed:       &Feed{Title: "{{.task_name}}", Body: "<p>{{html .status}}</p>", Link: "/cases/{{.case_no}}"}}
}

func members(t *testing.T, faults []error) []string {
	t.Helper()
	var out []string
	for _, err := range faults {
		var f *EntryFault
		if !errors.As(err, &f) || !errors.Is(err, ErrResource) || f.Zh == "" || f.En == "" {
			t.Fatalf("not an entry fault: %#v", err)
		}
		out = append(out, f.Member)
	}
	slices.Sort(out)
	return out
}

func TestResourceValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Resource)
		want   []string
	}{
		{"fits", func(*Resource) {}, nil},
		{"name", func(r *Resource) { r.Resource = "Case" }, []string{"resource"}},
		{"name with a path", func(r *Resource) { r.Resource = "a.b/c" }, []string{"resource"}},
		{"title", func(r *Resource) { r.Title.Zh = "" }, []string{"title"}},
		{"owner", func(r *Resource) { r.Owner = "发改委" }, []string{"owner"}},
		{"sharing", func(r *Resource) { r.Sharing = "open" }, []string{"sharing"}},
		{"retention", func(r *Resource) { r.Retention = "long" }, []string{"retention"}},
		{"publishers", func(r *Resource) { r.Publishers = []string{"*", "a", "a", "group:"} }, []string{"publishers[2]", "publishers[3]"}},
		{"key", func(r *Resource) { r.Key = []string{"a", "", "a"} }, []string{"key[1]", "key[2]"}},
		{"fields", func(r *Resource) {
			r.Fields = map[string]FieldRule{"a": {}, "b": {Portal: "x", Mask: "y", Sharing: "z"}}
		},
			[]string{"fields.a", "fields.b.mask", "fields.b.portal", "fields.b.sharing"}},
		{"route", func(r *Resource) { r.Disclosure = Disclosure{Route: "all"} }, []string{"disclosure.route"}},
		{"reviewed without steps", func(r *Resource) { r.Disclosure.Steps = nil }, []string{"disclosure.steps"}},
		{"steps without review", func(r *Resource) { r.Disclosure.Route = RouteSelf }, []string{"disclosure.steps"}},
		{"step", func(r *Resource) { r.Disclosure.Steps[1] = Step{"初审", "boss", "x y"} },
			[]string{"disclosure.steps[1].department", "disclosure.steps[1].name", "disclosure.steps[1].role"}},
		{"feed of nothing", func(r *Resource) { r.Disclosure = Disclosure{Route: RouteNone} }, []string{"feed"}},
		{"feed", func(r *Resource) { r.Feed = &Feed{Body: "{{.a"} }, []string{"feed.body", "feed.title"}},
		{"all at once", func(r *Resource) { *r = Resource{} }, []string{"disclosure.route", "owner", "resource", "sharing", "title"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := validEntry()
			tt.change(&r)
			if diff := cmp.Diff(tt.want, members(t, r.Validate())); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResourceValidateAgainst(t *testing.T) {
	s := embedded(t, "approvals.case")
	tests := []struct {
		name   string
		change func(*Resource)
		want   []string
	}{
		{"fits", func(*Resource) {}, nil},
		{"personal key", func(r *Resource) { r.Key = []string{"case_no", "applicant_id"} }, []string{"key[1]", "key[1]"}},
		{"optional key", func(r *Resource) { r.Key = []string{"task_code"} }, []string{"key[0]"}},
		{"unknown key", func(r *Resource) { r.Key = []string{"id"} }, []string{"key[0]"}},
		{"key with a personal member", func(r *Resource) { r.Key = []string{"agent"} }, []string{"key[0]", "key[0]", "key[0]", "key[0]"}},
		{"key withheld by a rule", func(r *Resource) { r.Fields["case_no"] = FieldRule{Sharing: SharingWithheld} }, []string{"key[0]"}},
		{"unknown field", func(r *Resource) { r.Fields["x"] = FieldRule{Portal: PortalNever} }, []string{"fields.x"}},
		{"looser sharing", func(r *Resource) { r.Fields["phone"] = FieldRule{Sharing: SharingUnconditional} }, []string{"fields.phone.sharing"}},
		{"looser portal", func(r *Resource) { r.Fields["applicant_name"] = FieldRule{Portal: PortalPublish} }, []string{"fields.applicant_name.portal"}},
		{"other mask", func(r *Resource) { r.Fields["applicant_name"] = FieldRule{Mask: MaskID} }, []string{"fields.applicant_name.mask"}},
		{"mask without one", func(r *Resource) { r.Fields["task_name"] = FieldRule{Portal: PortalMask} }, []string{"fields.task_name.mask"}},
		{"not erasable", func(r *Resource) { r.Erasable = false }, []string{"erasable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := validEntry()
			tt.change(&r)
			if diff := cmp.Diff(tt.want, members(t, r.ValidateAgainst(s))); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// The member names are fixed by CONTRACT §2.
func TestResourceJSON(t *testing.T) {
	r := validEntry()
	r.SharedKeys, r.Summary, r.UpdateFrequency, r.Revision = true, "s", "daily", 7
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("resource title summary owner publishers key shared_keys sharing schema_version fields disclosure feed update_frequency retention erasable revision") {
		if _, ok := m[name]; !ok {
			t.Errorf("no member %s", name)
		}
		delete(m, name)
	}
	if len(m) != 0 {
		t.Errorf("members beyond the contract: %v", m)
	}
}

func TestRetentionDays(t *testing.T) {
	for text, want := range map[string]int{"": 0, "permanent": 0, "P3Y": 1098, "6m": 186, "400d": 400} {
		if got, ok := RetentionDays(text); !ok || got != want {
			t.Errorf("RetentionDays(%q) = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"P", "0d", "P3", "3 years", "P1Y2M", "99999999999y"} {
		if _, ok := RetentionDays(text); ok {
			t.Errorf("RetentionDays(%q) was taken", text)
		}
	}
}
