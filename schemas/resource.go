package schemas

// Sharing classes 共享类型, from the least to the most strict. They stand on a resource
// (Resource.Sharing), on a field of the schema (x-sharing) and on a FieldRule.
const (
	SharingUnconditional = "unconditional" // 无条件共享
	SharingConditional   = "conditional"   // 有条件共享
	SharingWithheld      = "withheld"      // 不予共享: never leaves the bus
)

// Portal rules of a field (x-portal), from the least to the most strict. A field without one
// is never on the portal.
const (
	PortalPublish = "publish" // as it is
	PortalMask    = "mask"    // through the field's mask
	PortalDecided = "decided" // only when the record's own disclosure decided so
	PortalNever   = "never"
)

// Masks of a field (x-mask). What each one leaves standing is done by node/policy.
const (
	MaskName    = "name"    // the surname, then stars
	MaskID      = "id"      // first 3 and last 4 characters
	MaskPhone   = "phone"   // first 3 and last 4 characters
	MaskAddress = "address" // down to the town or street
	MaskEmail   = "email"   // first letter
	MaskAccount = "account" // last 4 characters
	MaskTail    = "tail"    // last 6 characters, for case numbers
)

// Disclosure routes of a resource.
const (
	RouteNone     = "none"     // never on the portal
	RouteSelf     = "self"     // public once its publisher published it
	RouteReviewed = "reviewed" // public once every step approved
)

// StepPublisher stands in Step.Department for the department that published the record.
const StepPublisher = "publisher"

// Title is a name in both languages.
type Title struct {
	Zh string `json:"zh"`
	En string `json:"en,omitempty"`
}

// Resource is the catalogue entry of a data set 数据资源 (CONTRACT §2, "resource").
// Its zero value is not valid; Validate says why.
type Resource struct {
	// Resource is the name, "<domain>.<name>".
	Resource string `json:"resource"`
	Title    Title  `json:"title"`
	Summary  string `json:"summary,omitempty"`
	// Owner is the code of the department that answers for the resource and decides its grants.
	Owner string `json:"owner"`
	// Publishers are department codes, "group:<code>" or "*"; empty means the owner alone.
	Publishers []string `json:"publishers,omitempty"`
	// Key names the top-level fields that make the key, in order; empty means that every record brings its key.
	Key []string `json:"key,omitempty"`
	// SharedKeys lets every publisher change every key (invariant 13 otherwise).
	SharedKeys bool `json:"shared_keys,omitempty"`
	// Sharing is one of the sharing classes.
	Sharing string `json:"sharing"`
	// SchemaVersion is the newest accepted schema version; 0 means that none is registered yet.
	SchemaVersion uint32 `json:"schema_version"`
	// Fields holds rules per top-level field, each stricter than the schema's own.
	Fields     map[string]FieldRule `json:"fields,omitempty"`
	Disclosure Disclosure           `json:"disclosure"`
	Feed       *Feed                `json:"feed,omitempty"`
	// UpdateFrequency is free text for people, such as "daily".
	UpdateFrequency string `json:"update_frequency,omitempty"`
	// Retention is "permanent" or a number of years, months or days such as "P3Y" (see RetentionDays).
	Retention string `json:"retention,omitempty"`
	// Erasable resources keep each key's bodies so that they can be erased; any personal field demands it.
	Erasable bool   `json:"erasable,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// FieldRule tightens what the schema says of one field; an empty member leaves the schema's word.
type FieldRule struct {
	Sharing string `json:"sharing,omitempty"`
	Portal  string `json:"portal,omitempty"`
	Mask    string `json:"mask,omitempty"`
}

// Disclosure is the route by which a record may reach the portal.
type Disclosure struct {
	Route string `json:"route"`
	Steps []Step `json:"steps,omitempty"`
}

// Step is one review of a route. Department is a code, or StepPublisher.
type Step struct {
	Name       string `json:"name"`
	Role       string `json:"role"`
	Department string `json:"department"`
}

// Feed holds the text/template sources over the portal projection of a record.
type Feed struct {
	Title   string `json:"title"`
	Summary string `json:"summary,omitempty"`
	Body    string `json:"body,omitempty"`
	Link    string `json:"link,omitempty"`
}
