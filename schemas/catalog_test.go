package schemas

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas/record"
)

// decode reads a body as a node does; bodies that the strict reader refuses for their text are
// read leniently by the caller instead.
func decode(t testing.TB, raw []byte) any {
	t.Helper()
	_, v, err := record.Decode(raw, record.DefaultLimits())
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return v
}

func embedded(t testing.TB, resource string) *Schema {
	t.Helper()
	raw, ok := EmbeddedSchema(resource, 1)
	if !ok {
		t.Fatalf("no embedded schema of %s", resource)
	}
	s, err := Compile(resource, 1, raw)
	if err != nil {
		t.Fatalf("compile %s: %v", resource, err)
	}
	return s
}

func TestEmbedded(t *testing.T) {
	want := []string{"approvals.case", "approvals.event", "approvals.service_item", "motions.handling", "motions.motion", "motions.step",
		"org.unit", "projects.disclosure", "projects.project"}
	if diff := cmp.Diff(want, Embedded()); diff != "" {
		t.Errorf("Embedded (-want +got):\n%s", diff)
	}
	for _, name := range []string{"org.nothing", "org", "../org.unit", "org.unit/../unit", ""} {
		if _, ok := EmbeddedSchema(name, 1); ok {
			t.Errorf("EmbeddedSchema(%q) found something", name)
		}
	}
	if _, ok := EmbeddedSchema("org.unit", 2); ok {
		t.Error("a version that does not exist was found")
	}
}

// Only identity and status are required (CONTRACT §6).
func TestEmbeddedRequired(t *testing.T) {
	want := map[string][]string{
		"approvals.service_item": {"task_code", "task_name", "task_type", "dept_code", "region"},
		"approvals.case":         {"case_no", "task_name", "dept_code", "status"},
		"approvals.event":        {"case_no", "event_no", "kind", "at"},
		"motions.motion":         {"body", "motion_no", "title", "status"},
		"motions.handling":       {"motion_key", "unit", "role"},
		"motions.step":           {"motion_key", "step_no", "name"},
		"projects.project":       {"project_code", "project_name", "status"},
		"projects.disclosure":    {"project_code", "stage", "item"},
		"org.unit":               {"unit_code", "name"},
	}
	got := map[string][]string{}
	for _, name := range Embedded() {
		got[name] = embedded(t, name).Required()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("required (-want +got):\n%s", diff)
	}
}

func TestEmbeddedSchemasAreComplete(t *testing.T) {
	for _, name := range Embedded() {
		raw, _ := EmbeddedSchema(name, 1)
		if f := Lint(raw); len(f) > 0 {
			t.Errorf("%s: %v", name, f)
		}
		s := embedded(t, name)
		if s.Title().Zh == "" || s.Title().En == "" {
			t.Errorf("%s has no title in both languages", name)
		}
		for _, a := range s.Annotations() {
			if a.Pointer[len(a.Pointer)-1] != "*" && (a.TitleZh == "" || a.TitleEn == "") {
				t.Errorf("%s %v has no title in both languages", name, a.Pointer)
			}
			if len(a.Pointer) == 1 && (a.Sharing == "" || a.Portal == "") {
				t.Errorf("%s %v has no sharing class or portal rule", name, a.Pointer)
			}
			if a.Personal && a.Portal == PortalPublish {
				t.Errorf("%s %v is personal and published as it is", name, a.Pointer)
			}
		}
	}
}

func TestEmbeddedExamples(t *testing.T) {
	for _, name := range Embedded() {
		s := embedded(t, name)
		valid, invalid := EmbeddedExamples(name)
		if len(valid) < 2 || len(invalid) < 4 {
			t.Errorf("%s: %d valid and %d invalid examples", name, len(valid), len(invalid))
		}
		for file, raw := range valid {
			if v := s.Validate(decode(t, raw)); !v.OK() {
				t.Errorf("%s %s: %v", name, file, s.Explain(v.Violations, English))
			}
		}
		for file, raw := range invalid {
			wantCode, _, _ := strings.Cut(strings.TrimPrefix(file, "invalid-"), "-")
			if wantCode == "broken_text" { // the strict reader refuses it before the schema sees it
				if _, _, err := record.Decode(raw, record.DefaultLimits()); err == nil {
					t.Errorf("%s %s: the strict reader let U+FFFD pass", name, file)
				}
				continue
			}
			v := s.Validate(decode(t, raw))
			if !slices.ContainsFunc(v.Violations, func(v Violation) bool { return v.Code == wantCode }) {
				t.Errorf("%s %s: no violation with code %s in %+v", name, file, wantCode, v.Violations)
			}
		}
	}
}
