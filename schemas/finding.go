package schemas

import (
	"cmp"
	"slices"
)

// maxFindings is how many findings one schema's report keeps; a last one says that there are more.
const maxFindings = 100

// Finding is one place where a schema breaks the profile, with what to do about it.
type Finding struct {
	// Pointer is the JSON pointer of the keyword in the schema; "" is the whole document.
	Pointer string `json:"pointer"`
	// Rule is the stable name of the rule.
	Rule string `json:"rule"`
	// Zh and En say what is wrong and the remedy.
	Zh string `json:"zh"`
	En string `json:"en"`
	// Advice marks a finding that does not refuse the schema.
	Advice bool `json:"advice,omitempty"`
}

// Place returns the pointer, or "schema" for the whole document.
func (f Finding) Place() string {
	if f.Pointer == "" {
		return "schema"
	}
	return f.Pointer
}

// Findings is a linter's report, sorted by pointer and rule.
type Findings []Finding

// Refused reports whether any finding refuses the schema.
func (fs Findings) Refused() bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return !f.Advice })
}

// Err returns nil where nothing is refused, else a *ProfileError holding the refusing findings.
func (fs Findings) Err() error {
	var refused Findings
	for _, f := range fs {
		if !f.Advice {
			refused = append(refused, f)
		}
	}
	if refused == nil {
		return nil
	}
	return &ProfileError{Findings: refused}
}

func (fs Findings) sorted() Findings {
	slices.SortFunc(fs, func(a, b Finding) int {
		if a.Advice != b.Advice {
			if a.Advice {
				return 1
			}
			return -1
		}
		return cmp.Or(comparePointers(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.En, b.En))
	})
	fs = slices.Compact(fs)
	if len(fs) > maxFindings {
		fs = append(fs[:maxFindings:maxFindings], Finding{Rule: "more", Advice: !fs.Refused(),
			Zh: "还有更多问题未列出。改法:先改正已列出的,再检查一次", En: "there are more findings; mend these and lint again"})
	}
	return fs
}
