package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the objects; each is told in the sentence of its refusal.
const (
	maxCode      = 64   // bytes of a code
	maxText      = 200  // characters of a name, purpose, scenario, instrument, article or reason
	maxList      = 1000 // entries of a list
	maxPathDepth = 64   // names in the path of a field
)

var (
	departmentKinds  = []string{"party", "government", "npc", "cppcc", "court", "procuratorate", "other", "enterprise", "institution"}
	departmentLevels = []string{"county", "town", "village", "city"}
	roles            = []string{RolePublisher, RoleSubscriber, RoleReviewer, RoleAdministrator, RoleAuditor}
	grantStates      = []string{GrantRequested, GrantApproved, GrantRefused, GrantRevoked, GrantExpired}
)

// GroupPrefix stands before the code of a group where departments are named.
const GroupPrefix = "group:"

// faults collects what is wrong with one object.
type faults []error

func (f *faults) add(member, reason, zh, en string) { *f = append(*f, fault(member, reason, zh, en)) }

// code takes lower-case letters, digits, hyphens and underscores, so that it is
// the same in an address, a file name, a metric and a producer name.
func (f *faults) code(member, v string) {
	if !isCode(v) {
		f.add(member, "code", member+"应为1至64个小写字母、数字、-或_，以字母或数字开头和结尾",
			member+" must be 1 to 64 lower-case letters, digits, - or _, with a letter or digit at both ends")
	}
}

// text takes 1 (or 0 when optional) to maxText printable characters.
func (f *faults) text(member, v string, optional bool) {
	if v == "" && optional {
		return
	}
	if strings.TrimSpace(v) == "" || utf8.RuneCountInString(v) > maxText || !utf8.ValidString(v) ||
		strings.ContainsFunc(v, unicode.IsControl) || strings.ContainsRune(v, utf8.RuneError) {
		f.add(member, "text", fmt.Sprintf("%s应为1至%d个可见字符", member, maxText),
			fmt.Sprintf("%s must be 1 to %d printable characters", member, maxText))
	}
}

// oneOf takes the listed words only.
func (f *faults) oneOf(member, v string, words []string) {
	if !slices.Contains(words, v) {
		f.add(member, "enum", member+"应为下列之一："+strings.Join(words, "、"),
			member+" must be one of "+strings.Join(words, ", "))
	}
}

// list takes at most maxList different entries that ok says yes to.
func (f *faults) list(member string, v []string, ok func(string) bool) {
	seen := make(map[string]bool, len(v))
	for i, s := range v {
		if i >= maxList {
			f.add(member, "too_many", fmt.Sprintf("%s最多%d项", member, maxList),
				fmt.Sprintf("%s has at most %d entries", member, maxList))
			return
		}
		if !ok(s) {
			f.add(member, "entry", fmt.Sprintf("%s第%d项写法不对", member, i+1),
				fmt.Sprintf("entry %d of %s is not well formed", i+1, member))
		}
		if seen[s] {
			f.add(member, "repeated", fmt.Sprintf("%s第%d项重复", member, i+1),
				fmt.Sprintf("entry %d of %s stands there twice", i+1, member))
		}
		seen[s] = true
	}
}

// Validate lists everything that is wrong with the department itself; whether its
// parent exists is for who holds the others (see CheckParent).
func (d Department) Validate() []error {
	var f faults
	f.code("code", d.Code)
	f.text("name", d.Name, false)
	f.text("short_name", d.ShortName, true)
	if d.USCC != "" && !validUSCC(d.USCC) {
		f.add("uscc", "uscc", "uscc应为18位统一社会信用代码，末位校验码须相符",
			"uscc must be an 18-character unified social credit code with a matching check character")
	}
	f.oneOf("kind", d.Kind, departmentKinds)
	f.oneOf("level", d.Level, departmentLevels)
	if !isRegion(d.Region) {
		f.add("region", "region", "region应为6位、9位或12位行政区划代码",
			"region must be an administrative division code of 6, 9 or 12 digits")
	}
	if d.Parent != "" {
		f.code("parent", d.Parent)
		if d.Parent == d.Code {
			f.add("parent", "cycle", "上级不能是自己", "a department cannot be its own parent")
		}
	}
	f.list("legacy_codes", d.LegacyCodes, func(s string) bool {
		return s != "" && len(s) <= maxCode && !strings.ContainsFunc(s, unicode.IsControl)
	})
	return f
}

// CheckParent walks up from parent and refuses, with ErrInvalid, a parent that
// does not exist and a line that comes back to code. lookup tells the department
// of a code.
func CheckParent(code, parent string, lookup func(string) (Department, bool)) error {
	for steps := 0; parent != ""; steps++ {
		if parent == code || steps > maxPathDepth {
			return fault("parent", "cycle", "上级关系成环", "the line of parents comes back to the department")
		}
		d, ok := lookup(parent)
		if !ok {
			return fault("parent", "unknown_parent", "上级部门"+parent+"不存在", "there is no department "+parent)
		}
		parent = d.Parent
	}
	return nil
}

// Validate lists everything that is wrong with the group itself.
func (g Group) Validate() []error {
	var f faults
	f.code("code", g.Code)
	f.text("name", g.Name, false)
	f.list("departments", g.Departments, isCode)
	return f
}

// Validate lists everything that is wrong with the system itself.
func (s System) Validate() []error {
	var f faults
	f.code("code", s.Code)
	f.code("department", s.Department)
	f.text("name", s.Name, false)
	f.list("roles", s.Roles, func(r string) bool { return slices.Contains(roles, r) })
	if len(s.Roles) == 0 {
		f.add("roles", "missing", "roles至少要有一个角色", "roles must name at least one role")
	}
	f.list("resources", s.Resources, isGlob)
	names := make([]string, 0, len(s.Pinned))
	for name := range s.Pinned {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !isResource(name) || s.Pinned[name] == 0 {
			f.add("pinned", "entry", "pinned应为数据资源名和从1起的模式版本",
				"pinned must map resource names to schema versions from 1")
			break
		}
	}
	return f
}

// Validate lists everything that is wrong with the credential itself.
func (c Credential) Validate() []error {
	var f faults
	if c.ID == "" || len(c.ID) > maxCode || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		f.add("id", "id", "id应为1至64个可见ASCII字符", "id must be 1 to 64 printable ASCII characters")
	}
	if d, s, ok := strings.Cut(c.System, "."); !ok || !isCode(d) || !isCode(s) {
		f.add("system", "system", "system应写作部门.系统", "system must be written <department>.<system>")
	}
	f.oneOf("kind", c.Kind, []string{CredentialAPIKey, CredentialCertificate})
	if c.Kind == CredentialAPIKey && !isHash(c.Hash) {
		f.add("hash", "hash", "hash应为密钥的SHA-256（64位十六进制）", "hash must be the hex SHA-256 of the secret")
	}
	if c.Kind == CredentialCertificate && !isHash(c.Fingerprint) {
		f.add("fingerprint", "hash", "fingerprint应为证书的SHA-256（64位十六进制）",
			"fingerprint must be the hex SHA-256 of the certificate")
	}
	f.list("scopes", c.Scopes, func(r string) bool { return slices.Contains(roles, r) })
	if c.NotAfter < 0 {
		f.add("not_after", "time", "not_after不能早于1970年", "not_after must not lie before 1970")
	}
	return f
}

// Validate lists everything that is wrong with the grant itself; what it asks of
// its resource is for CheckGrant.
func (g Grant) Validate() []error {
	var f faults
	f.code("grant", g.Grant)
	if !isResource(g.Resource) {
		f.add("resource", "resource", "resource应写作领域.名称", "resource must be written <domain>.<name>")
	}
	if !isCode(strings.TrimPrefix(g.Subscriber, GroupPrefix)) {
		f.add("subscriber", "subscriber", "subscriber应为部门代码或group:部门组代码",
			"subscriber must be a department code or group:<code>")
	}
	if !g.Fields.All && len(g.Fields.Names) == 0 {
		f.add("fields", "missing", `fields应列出字段，或写"all"`, `fields must list fields or be "all"`)
	}
	f.list("fields", g.Fields.Names, func(s string) bool { _, err := parsePath(s); return err == nil })
	if g.Filter != "" {
		f.add("filter", "filter_unsupported", "尚不支持行过滤，不能带filter",
			"row filters are not supported, a grant with one is refused")
	}
	f.text("purpose", g.Purpose, false)
	f.text("scenario", g.Scenario, true)
	f.text("legal_basis.instrument", g.LegalBasis.Instrument, true)
	f.text("legal_basis.article", g.LegalBasis.Article, true)
	if _, err := ParseTime(g.NotAfter); err != nil {
		f.add("not_after", "time", "not_after应为带时区的时间，如2027-12-31T23:59:59+08:00",
			"not_after must be an RFC 3339 time such as 2027-12-31T23:59:59+08:00")
	}
	f.oneOf("state", g.State, grantStates)
	f.text("reason", g.Reason, true)
	return f
}

// Validate lists everything that is wrong with the subscription itself.
func (s Subscription) Validate() []error {
	var f faults
	f.code("subscription", s.Subscription)
	if !isResource(s.Resource) {
		f.add("resource", "resource", "resource应写作领域.名称", "resource must be written <domain>.<name>")
	}
	f.code("grant", s.Grant)
	f.oneOf("sink.kind", s.Sink.Kind, []string{SinkPull})
	if s.Filter != "" {
		f.add("filter", "filter_unsupported", "尚不支持行过滤，不能带filter",
			"row filters are not supported, a subscription with one is refused")
	}
	if d, c, ok := strings.Cut(s.System, "."); !ok || !isCode(d) || !isCode(c) {
		f.add("system", "system", "system应写作部门.系统", "system must be written <department>.<system>")
	}
	f.oneOf("state", s.State, []string{SubscriptionActive, SubscriptionPaused})
	return f
}

func isCode(v string) bool {
	if v == "" || len(v) > maxCode {
		return false
	}
	for i := range len(v) {
		c := v[i]
		inner := c == '-' || c == '_'
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || inner) || inner && (i == 0 || i == len(v)-1) {
			return false
		}
	}
	return true
}

// isResource takes <domain>.<name>, both codes.
func isResource(v string) bool {
	d, n, ok := strings.Cut(v, ".")
	return ok && isCode(d) && isCode(n)
}

// isGlob takes what path.Match takes, without brackets, escapes and slashes: *
// stands for any run of characters and ? for one.
func isGlob(v string) bool {
	if v == "" || len(v) > 2*maxCode || strings.ContainsAny(v, `[]\/`) {
		return false
	}
	_, err := path.Match(v, "")
	return err == nil
}

func isHash(v string) bool {
	return len(v) == 64 && !strings.ContainsFunc(v, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f')
	})
}

func isRegion(v string) bool {
	return (len(v) == 6 || len(v) == 9 || len(v) == 12) &&
		!strings.ContainsFunc(v, func(r rune) bool { return r < '0' || r > '9' })
}

// validUSCC checks alphabet and check character of GB 32100-2015.
func validUSCC(v string) bool {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
	if len(v) != 18 {
		return false
	}
	sum, weight := 0, 1
	for i := range 17 {
		n := strings.IndexByte(alphabet, v[i])
		if n < 0 {
			return false
		}
		sum += n * weight
		weight = weight * 3 % 31
	}
	return v[17] == alphabet[(31-sum%31)%31]
}
