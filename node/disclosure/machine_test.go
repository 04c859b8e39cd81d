package disclosure

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// machine runs the commands of a script on one publication:
//
//	route ROUTE [NAME:ROLE:DEPARTMENT …]
//	start VERSION | edit VERSION | retract VERSION SYSTEM
//	ACTION DEPARTMENT.SYSTEM ROLE[,ROLE …] [note=TEXT] [seen=TEXT]
type machine struct {
	p  Publication
	r  schemas.Resource
	at int64
}

const publisher = "spj"

func (m *machine) run(line string) string {
	m.at += 1000
	w := strings.Fields(line)
	var change Change
	var err error
	switch before := m.p; w[0] {
	case "route":
		m.r = schemas.Resource{Resource: "projects.disclosure", Disclosure: schemas.Disclosure{Route: w[1]}}
		for _, s := range w[2:] {
			f := strings.Split(s, ":")
			m.r.Disclosure.Steps = append(m.r.Disclosure.Steps, schemas.Step{Name: f[0], Role: f[1], Department: f[2]})
		}
		return ""
	case "start":
		m.p, change = Start("p1", m.r, "k", number(w[1]))
	case "edit":
		m.p, change = Edit(m.p, m.r, number(w[1]))
	case "retract":
		m.p, change = Retract(m.p, number(w[1]), w[2], m.at)
	default:
		a, note, seen := actor(w[1:])
		m.p, change, err = Decide(m.p, m.r, w[0], a, publisher, note, seen, m.at)
		if err != nil && !cmp.Equal(before, m.p) {
			return "a refused decision changed the publication\n"
		}
	}
	if err != nil {
		return refusal(err)
	}
	return fmt.Sprintf("  %s -> %s\n", change, describe(m.p))
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func actor(w []string) (a Actor, note, seen string) {
	if w[0] != "-" {
		a.System = w[0]
		a.Department, _, _ = strings.Cut(w[0], ".")
	}
	for _, s := range w[1:] {
		switch name, value, _ := strings.Cut(s, "="); name {
		case "note":
			note = value
		case "seen":
			seen = value
		default:
			a.Roles = strings.Split(s, ",")
		}
	}
	return a, note, seen
}

func refusal(err error) string {
	var d *Denial
	if !errors.As(err, &d) || d.Zh == "" || d.En == "" {
		return "no sentence: " + err.Error() + "\n"
	}
	return fmt.Sprintf("  refused: %v: %s: %s / %s\n", d.Class, d.Reason, d.Zh, d.En)
}

func describe(p Publication) string {
	if p.State == "" {
		return "nothing"
	}
	s := fmt.Sprintf("%s v%d public v%d", p.State, p.Version, p.PublishedVersion)
	if p.Decided {
		s += " decided"
	}
	for i, step := range p.Steps {
		mark := " "
		if p.Open() == i {
			mark = " *"
		}
		s += mark + step.Name
		if step.Decision != "" {
			s += fmt.Sprintf("(%s by %s at %d note=%q seen=%q)", step.Decision, step.By, step.At, step.Note, step.Seen)
		}
	}
	if w := p.Withdrawal; w != nil {
		s += fmt.Sprintf(" withdrawal(by %s at %d note=%q)", w.By, w.At, w.Note)
	}
	return s
}

// TestMachine runs the scripts under testdata; every line but a comment is
// followed by what became of it.
func TestMachine(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			var m machine
			for line := range strings.Lines(string(want)) {
				switch {
				case strings.HasPrefix(line, "  "):
				case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
					got.WriteString(line)
				default:
					got.WriteString(line)
					got.WriteString(m.run(line))
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNeverPublicUnreviewed walks every sequence of short length and checks
// invariant 12 on the way: public only after all steps in order for that very
// version, and never again after a withdrawal without them.
func TestNeverPublicUnreviewed(t *testing.T) {
	r := schemas.Resource{Disclosure: schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{
		{Name: "unit", Role: "reviewer", Department: schemas.StepPublisher}, {Name: "secrecy", Role: "reviewer", Department: "bmj"}}}}
	unit := Actor{Department: publisher, System: "spj.s", Roles: []string{"publisher", "reviewer"}}
	secrecy := Actor{Department: "bmj", System: "bmj.s", Roles: []string{"reviewer"}}
	stranger := Actor{Department: "fgw", System: "fgw.s", Roles: []string{"publisher", "reviewer", "auditor"}}
	moves := []string{"edit", "retract", "unit approve", "unit return", "unit withdraw", "secrecy approve", "secrecy return",
		"secrecy withdraw", "stranger approve", "stranger return", "stranger withdraw"}
	actors := map[string]Actor{"unit": unit, "secrecy": secrecy, "stranger": stranger}
	var walk func(p Publication, approvals []string, trail []string)
	walk = func(p Publication, approvals []string, trail []string) {
		if len(trail) == 5 {
			return
		}
		for _, move := range moves {
			var next Publication
			var change Change
			done := approvals
			switch who, action, _ := strings.Cut(move, " "); {
			case move == "edit":
				next, change = Edit(p, r, p.Version+1)
				done = nil
			case move == "retract":
				next, change = Retract(p, p.Version+1, "spj.s", 1)
				done = nil
			default:
				var err error
				next, change, err = Decide(p, r, action, actors[who], publisher, "n", "s", 1)
				if err == nil && who == "stranger" {
					t.Fatalf("%v: a stranger decided", append(trail, move))
				}
				if err == nil && action == Approve {
					done = append(append([]string{}, approvals...), who)
				}
				if err == nil && action == Withdraw {
					done = nil
				}
			}
			path := append(append([]string{}, trail...), move)
			if change == Publish && strings.Join(done, " ") != "unit secrecy" {
				t.Fatalf("%v: published after %v", path, done)
			}
			if change == Tombstone && (p.PublishedVersion == 0 || next.PublishedVersion != 0) {
				t.Fatalf("%v: tombstone of nothing, or something left", path)
			}
			if p.PublishedVersion != 0 && next.PublishedVersion == 0 && change != Tombstone {
				t.Fatalf("%v: left the portal without a tombstone", path)
			}
			if next.PublishedVersion != p.PublishedVersion && change == None {
				t.Fatalf("%v: the portal changed unsaid", path)
			}
			if change == None && next.PublishedVersion == 0 && next.State == Published {
				t.Fatalf("%v: published nothing", path)
			}
			walk(next, done, path)
		}
	}
	p, change := Start("p", r, "k", 1)
	if change != None || p.State != Pending {
		t.Fatalf("started as %s with %s", p.State, change)
	}
	walk(p, nil, nil)
}

func TestNothingShared(t *testing.T) {
	r := schemas.Resource{Disclosure: schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{{Name: "a", Role: "reviewer", Department: "bmj"}, {Name: "b", Role: "reviewer", Department: "bmj"}}}}
	p, _ := Start("p", r, "k", 1)
	if _, _, err := Decide(p, r, Approve, Actor{"bmj", "bmj.s", []string{"reviewer"}}, publisher, "", "s", 1); err != nil {
		t.Fatal(err)
	}
	if p.Steps[0].Decision != "" {
		t.Error("a decision was written into the publication it was given")
	}
}

func TestWireForm(t *testing.T) {
	p := Publication{ID: "p1", Resource: "a.b", Key: "k", Version: 2, State: Returned, PublishedVersion: 1, Decided: true,
		Steps:      []StepState{{Name: "单位初审", By: "spj.s", At: 1_800_000_000_000, Decision: Approve, Note: "同意", Seen: "ab"}, {Name: "保密审查"}},
		Withdrawal: &StepState{By: "bmj.s", At: 1, Decision: Withdraw, Note: "误发"}, Revision: 3}
	want := `{"id":"p1","resource":"a.b","key":"k","version":2,"state":"returned","steps":[` +
		`{"name":"单位初审","by":"spj.s","at":"2027-01-15T08:00:00.000Z","decision":"approve","note":"同意","seen":"ab"},{"name":"保密审查"}],` +
		`"published_version":1,"decided":true,"withdrawal":{"name":"","by":"bmj.s","at":"1970-01-01T00:00:00.001Z","decision":"withdraw","note":"误发"},"revision":3}`
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("wire form (-want +got):\n%s", diff)
	}
	var back Publication
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"name":"a","who":"b"}`, `{"name":"a","at":"soon"}`, `7`} {
		if err := json.Unmarshal([]byte(bad), &StepState{}); err == nil {
			t.Errorf("took %s", bad)
		}
	}
}
