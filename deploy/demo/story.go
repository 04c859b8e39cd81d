package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hutong-bus/hutong/schemas/record"
)

// body is the data of one record as a subscriber with every field would have
// it.
type body = map[string]any

// Who finds out that a record is wrong.
const (
	byAdapter = "adapter" // against schema or mapping, before it is sent
	byBus     = "bus"
)

// item is one record that a department sends.
type item struct {
	dept  string
	body  body
	wrong string // "", byAdapter or byBus
	fix   body   // what the clerk corrects afterwards; nil: it stays refused
}

// Resources of the story with their key fields.
var keys = map[string][]string{
	"org.unit":               {"unit_code"},
	"approvals.service_item": {"task_code"},
	"approvals.case":         {"case_no"},
	"approvals.event":        {"case_no", "event_no"},
	"motions.motion":         {"body", "motion_no"},
	"motions.step":           {"motion_key", "step_no"},
	"motions.handling":       {"motion_key", "unit"},
	"projects.project":       {"project_code"},
	"projects.disclosure":    {"project_code", "stage", "item"},
}

// resources are their names, sorted.
func resources() []string { return slices.Sorted(maps.Keys(keys)) }

// keyOf is the key of a record.
func keyOf(resource string, b body) string {
	parts := make([]string, len(keys[resource]))
	for i, f := range keys[resource] {
		parts[i] = fmt.Sprint(b[f])
	}
	return record.JoinKey(parts)
}

// story is everything that is sent, by resource, in the order of sending. The
// replies to motions are not in it: clerks write them when motions arrive.
type story struct {
	first map[string][]item // when the county starts
	later map[string][]item // after all of that was delivered
}

// newStory makes the data. It is the same at every call.
func newStory() story {
	s := story{first: map[string][]item{}, later: map[string][]item{}}
	s.first["org.unit"] = units()
	s.first["approvals.service_item"] = serviceItems()
	approvals(&s)
	s.first["motions.motion"] = motions()
	s.first["motions.step"] = motionSteps(s.first["motions.motion"])
	s.first["projects.project"] = projects()
	disclosures(&s)
	return s
}

// corrections are the refused records as their clerks mend them.
func (s story) corrections(resource string) []item {
	var out []item
	for _, it := range s.first[resource] {
		if it.fix != nil {
			mended := maps.Clone(it.body)
			maps.Copy(mended, it.fix)
			out = append(out, item{dept: it.dept, body: mended})
		}
	}
	return out
}

// expectation is what must have been accepted of one resource.
type expectation struct {
	records  int             // accepted versions
	refused  int             // by adapters
	rejected int             // by the bus
	last     map[string]body // newest body of each key
}

func (e *expectation) add(resource string, items []item) {
	if e.last == nil {
		e.last = map[string]body{}
	}
	for _, it := range items {
		switch it.wrong {
		case byAdapter:
			e.refused++
		case byBus:
			e.rejected++
		default:
			e.records++
			e.last[keyOf(resource, it.body)] = it.body
		}
	}
}

// expect says what must have been accepted; whole: of everything, else of what
// the county starts with.
func (s story) expect(resource string, whole bool) expectation {
	var e expectation
	if resource == "motions.handling" {
		e.add(resource, s.replies(whole))
		return e
	}
	e.add(resource, s.first[resource])
	if whole {
		e.add(resource, s.corrections(resource))
		e.add(resource, s.later[resource])
	}
	return e
}

// replies are the answers of the handling units to the motions that reach them.
func (s story) replies(whole bool) []item {
	var out []item
	all := s.first["motions.motion"]
	if whole {
		all = slices.Concat(all, s.corrections("motions.motion"))
	}
	for _, it := range all {
		if it.wrong != "" {
			continue
		}
		for _, dept := range handlers {
			if b := reply(dept, keyOf("motions.motion", it.body), it.body); b != nil {
				out = append(out, item{dept: dept, body: b})
			}
		}
	}
	return out
}
