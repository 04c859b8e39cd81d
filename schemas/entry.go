package schemas

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// Bounds of a catalogue entry.
const (
	maxTitleRunes   = 200
	maxSummaryBytes = 8 << 10
	maxPublishers   = 1_000
	maxKeyFields    = 8
	maxSteps        = 16
	maxTemplate     = 16 << 10
	maxFieldRules   = 1_000
)

var (
	resourceName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}\.[a-z][a-z0-9_]{0,31}$`)
	departmentCode = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	retentionForm  = regexp.MustCompile(`^[Pp]?([1-9][0-9]{0,4})([YMDymd])$`)
	roles          = []string{"publisher", "subscriber", "reviewer", "administrator", "auditor"}
	routes         = []string{RouteNone, RouteSelf, RouteReviewed}
)

// ValidResourceName reports whether name has the form <domain>.<name>, each part a lower-case
// word of letters, digits and underscores.
func ValidResourceName(name string) bool { return resourceName.MatchString(name) }

// RetentionDays reads a retention: a number of years, months or days such as "P3Y" or "400d"
// (a year is 366 days, a month 31), or "permanent" or nothing, which is 0 for without end.
// It reports whether the text has one of these forms.
func RetentionDays(text string) (days int, ok bool) {
	if text == "" || text == "permanent" {
		return 0, true
	}
	m := retentionForm.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, false
	}
	switch strings.ToUpper(m[2]) {
	case "Y":
		n *= 366
	case "M":
		n *= 31
	}
	return n, true
}

// faults collects what is wrong with an entry.
type faults []error

func (f *faults) add(member, zh, en string) {
	*f = append(*f, &EntryFault{Member: member, Zh: zh, En: en})
}

func (f *faults) choice(member, value string, choices []string) {
	if !slices.Contains(choices, value) {
		list := strings.Join(choices, ", ")
		f.add(member, "应为下列之一:"+list, "must be one of "+list)
	}
}

// Validate returns every fault of the entry that can be seen without its schema, each an
// *EntryFault; none means that it is valid.
func (r *Resource) Validate() []error {
	var f faults
	if !ValidResourceName(r.Resource) {
		f.add("resource", "名称应为 <域>.<名称>,两段都用小写字母、数字和下划线", "must be <domain>.<name>, each of lower-case letters, digits and underscores")
	}
	if r.Title.Zh == "" || len([]rune(r.Title.Zh)) > maxTitleRunes || len([]rune(r.Title.En)) > maxTitleRunes {
		f.add("title", "中文名称必填,中英文名称各不超过200字", "title.zh is needed; each title has at most 200 characters")
	}
	if len(r.Summary) > maxSummaryBytes {
		f.add("summary", "摘要过长", "too long")
	}
	if !departmentCode.MatchString(r.Owner) {
		f.add("owner", "应为部门代码", "must be the code of a department")
	}
	f.choice("sharing", r.Sharing, sharingClasses)
	if _, ok := RetentionDays(r.Retention); !ok {
		f.add("retention", "应为 permanent 或年、月、日数,如 P3Y", "must be permanent or a number of years, months or days such as P3Y")
	}
	if len(r.UpdateFrequency) > 200 {
		f.add("update_frequency", "过长", "too long")
	}
	f.publishers(r.Publishers)
	f.key(r.Key)
	f.fieldRules(r.Fields)
	f.disclosure(r.Disclosure)
	f.feed(r.Feed, r.Disclosure)
	return f
}

func (f *faults) publishers(list []string) {
	if len(list) > maxPublishers {
		f.add("publishers", "过多,请用部门组", "too many; use a group")
		return
	}
	for i, p := range list {
		member := fmt.Sprintf("publishers[%d]", i)
		code := strings.TrimPrefix(p, "group:")
		if p != "*" && !departmentCode.MatchString(code) {
			f.add(member, "应为部门代码、group:组代码或 *", "must be a department, group:<code> or *")
		}
		if slices.Contains(list[:i], p) {
			f.add(member, "重复", "is there twice")
		}
	}
}

func (f *faults) key(fields []string) {
	if len(fields) > maxKeyFields {
		f.add("key", "主键字段不超过8个", "has at most 8 fields")
	}
	for i, k := range fields {
		if k == "" || slices.Contains(fields[:i], k) {
			f.add(fmt.Sprintf("key[%d]", i), "字段名为空或重复", "is empty or there twice")
		}
	}
}

func (f *faults) fieldRules(rules map[string]FieldRule) {
	if len(rules) > maxFieldRules {
		f.add("fields", "过多", "too many")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		rule, member := rules[name], "fields."+name
		if rule == (FieldRule{}) {
			f.add(member, "没有写规则", "has no rule")
		}
		if rule.Sharing != "" {
			f.choice(member+".sharing", rule.Sharing, sharingClasses)
		}
		if rule.Portal != "" {
			f.choice(member+".portal", rule.Portal, portalRules)
		}
		if rule.Mask != "" {
			f.choice(member+".mask", rule.Mask, maskNames)
		}
	}
}

func (f *faults) disclosure(d Disclosure) {
	f.choice("disclosure.route", d.Route, routes)
	if d.Route == RouteReviewed && len(d.Steps) == 0 {
		f.add("disclosure.steps", "审核公开至少要有一步", "a reviewed route has at least one step")
	}
	if d.Route != RouteReviewed && len(d.Steps) > 0 {
		f.add("disclosure.steps", "只有 reviewed 才有审核步骤", "only a reviewed route has steps")
	}
	if len(d.Steps) > maxSteps {
		f.add("disclosure.steps", "步骤不超过16个", "has at most 16 steps")
	}
	for i, s := range d.Steps {
		member := fmt.Sprintf("disclosure.steps[%d]", i)
		if s.Name == "" || len([]rune(s.Name)) > maxTitleRunes || slices.ContainsFunc(d.Steps[:i], func(o Step) bool { return o.Name == s.Name }) {
			f.add(member+".name", "步骤名为空、过长或重复", "is empty, too long or there twice")
		}
		f.choice(member+".role", s.Role, roles)
		if !departmentCode.MatchString(s.Department) {
			f.add(member+".department", "应为部门代码或 publisher", "must be a department or publisher")
		}
	}
}

// feed checks that each template parses; which functions there are is the business of node/feed.
func (f *faults) feed(feed *Feed, d Disclosure) {
	if feed == nil {
		return
	}
	if d.Route == RouteNone {
		f.add("feed", "没有公开途径的资源不能有信息源", "a resource whose route is none has no feed")
	}
	if feed.Title == "" {
		f.add("feed.title", "必填", "is needed")
	}
	for _, t := range []struct{ name, text string }{{"title", feed.Title}, {"summary", feed.Summary}, {"body", feed.Body}, {"link", feed.Link}} {
		if len(t.text) > maxTemplate {
			f.add("feed."+t.name, "模板超过16 KiB", "is larger than 16 KiB")
			continue
		}
		tree := parse.New(t.name)
		tree.Mode = parse.SkipFuncCheck
		if _, err := tree.Parse(t.text, "", "", map[string]*parse.Tree{}); err != nil {
			f.add("feed."+t.name, "模板不成立", "is not a template: "+err.Error())
		}
	}
}

// ValidateAgainst returns every fault of the entry against its current schema: key fields that
// are unknown, may be absent, personal, withheld or not plain; field rules that are unknown or
// looser than the schema; personal fields in a resource that cannot be erased.
func (r *Resource) ValidateAgainst(s *Schema) []error {
	var f faults
	for i, name := range r.Key {
		f.keyField(fmt.Sprintf("key[%d]", i), name, r.Fields[name], s)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		rule, member := r.Fields[name], "fields."+name
		a, ok := s.Field(name)
		if !ok {
			f.add(member, "模式中没有这个字段", "is not a field of the schema")
			continue
		}
		if rule.Sharing != "" && Stricter(sharingClasses, rule.Sharing, a.Sharing) != rule.Sharing {
			f.add(member+".sharing", "不能比模式宽松("+a.Sharing+")", "must not be looser than the schema's "+a.Sharing)
		}
		// A field without x-portal is never public, so no rule can put it there.
		if portal := orNever(a.Portal); rule.Portal != "" && Stricter(portalRules, rule.Portal, portal) != rule.Portal {
			f.add(member+".portal", "不能比模式宽松("+portal+")", "must not be looser than the schema's "+portal)
		}
		if rule.Portal == PortalMask && rule.Mask == "" && a.Mask == "" {
			f.add(member+".mask", "portal 为 mask 时要写明掩码", "portal mask needs a mask")
		}
		if rule.Mask != "" && a.Mask != "" && rule.Mask != a.Mask {
			f.add(member+".mask", "模式已定掩码 "+a.Mask, "the schema's mask is "+a.Mask)
		}
	}
	if s.Personal() && !r.Erasable {
		f.add("erasable", "模式含个人信息字段(x-personal),应为 true", "must be true, as the schema has personal fields (x-personal)")
	}
	return f
}

func orNever(portal string) string {
	if portal == "" {
		return PortalNever
	}
	return portal
}

func (f *faults) keyField(member, name string, rule FieldRule, s *Schema) {
	a, ok := s.Field(name)
	if !ok {
		f.add(member, "模式中没有字段“"+name+"”", name+" is not a field of the schema")
		return
	}
	if !slices.Contains(s.required, name) {
		f.add(member, "主键字段“"+name+"”应在模式中必填(required)", name+" must be required by the schema")
	}
	if !s.keyable[name] {
		f.add(member, "主键字段“"+name+"”应是文字或整数", name+" must be text or a whole number")
	}
	personal := slices.ContainsFunc(s.annotations, func(a Annotation) bool { return a.Pointer[0] == name && a.Personal })
	if personal {
		f.add(member, "个人信息字段“"+name+"”不能作主键。改法:用编号或假名(如 person_key)", name+" is personal and cannot be a key; use a number of your own or a pseudonym")
	}
	if a.Sharing == SharingWithheld || rule.Sharing == SharingWithheld {
		f.add(member, "不予共享的字段“"+name+"”不能作主键", name+" is withheld and cannot be a key")
	}
}
