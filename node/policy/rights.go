package policy

import (
	"path"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas"
)

// CanPublish tells whether the caller may publish records of the resource: a
// system in the role publisher, one of whose globs matches the resource, of a
// department that the resource lists as publisher (a code, group:<code> or *;
// an empty list is the owner alone). groups tells the departments of a group.
// It returns a *Denial of class ErrUnauthenticated or ErrNotGranted.
func CanPublish(c Caller, r schemas.Resource, groups func(string) []string) error {
	if err := inRole(c, RolePublisher); err != nil {
		return err
	}
	if !matches(c.System.Resources, r.Resource) {
		return deny(ErrNotGranted, "system_resources",
			"系统"+c.System.FullName()+"的resources不含"+r.Resource,
			"the resources of system "+c.System.FullName()+" do not cover "+r.Resource)
	}
	publishers := r.Publishers
	if len(publishers) == 0 {
		publishers = []string{r.Owner}
	}
	for _, p := range publishers {
		switch code, isGroup := strings.CutPrefix(p, GroupPrefix); {
		case p == "*", !isGroup && p == c.Department.Code:
			return nil
		case isGroup && groups != nil && slices.Contains(groups(code), c.Department.Code):
			return nil
		}
	}
	return deny(ErrNotGranted, "not_publisher",
		"部门"+c.Department.Code+"不是"+r.Resource+"的发布部门",
		"department "+c.Department.Code+" is not a publisher of "+r.Resource)
}

// Entitles tells whether the grant lets the caller receive records of the
// resource at log time now (ms): a system in the role subscriber, of the
// department or of a department in the group that the grant names, while the
// grant is approved and its end has not come. Where the system lists resources,
// they narrow its grants. It returns a *Denial of class ErrUnauthenticated or
// ErrNotGranted.
func Entitles(g Grant, c Caller, resource string, now int64) error {
	if err := inRole(c, RoleSubscriber); err != nil {
		return err
	}
	if g.Resource != resource {
		return deny(ErrNotGranted, "other_resource",
			"授权"+g.Grant+"不是关于"+resource+"的", "grant "+g.Grant+" is not about "+resource)
	}
	if !IsSubscriber(g, c) {
		return deny(ErrNotGranted, "not_subscriber",
			"授权"+g.Grant+"不是给部门"+c.Department.Code+"的",
			"grant "+g.Grant+" is not given to department "+c.Department.Code)
	}
	if len(c.System.Resources) > 0 && !matches(c.System.Resources, resource) {
		return deny(ErrNotGranted, "system_resources",
			"系统"+c.System.FullName()+"的resources不含"+resource,
			"the resources of system "+c.System.FullName()+" do not cover "+resource)
	}
	switch state := g.StateAt(now); {
	case g.Filter != "":
		return deny(ErrNotGranted, "filter_unsupported",
			"授权"+g.Grant+"带有行过滤，尚不支持", "grant "+g.Grant+" has a row filter, which is not supported")
	case state == GrantExpired:
		return deny(ErrNotGranted, "grant_expired",
			"授权"+g.Grant+"已于"+g.NotAfter+"到期", "grant "+g.Grant+" ended at "+g.NotAfter)
	case state != GrantApproved:
		return deny(ErrNotGranted, "grant_"+state,
			"授权"+g.Grant+"未生效（"+grantStateZh(state)+"）", "grant "+g.Grant+" is not in force ("+state+")")
	}
	return nil
}

// IsSubscriber tells whether the caller's department is the grant's subscriber or
// in the group that is.
func IsSubscriber(g Grant, c Caller) bool {
	if c.Anonymous() || g.Subscriber == "" {
		return false
	}
	if code, isGroup := strings.CutPrefix(g.Subscriber, GroupPrefix); isGroup {
		return slices.Contains(c.Groups, code)
	}
	return g.Subscriber == c.Department.Code
}

// inRole refuses callers that are unknown or do not act in the role.
func inRole(c Caller, role string) error {
	if c.Anonymous() {
		return deny(ErrUnauthenticated, "unauthenticated", "未登录或凭证无效", "no valid credential was shown")
	}
	if !c.HasRole(role) {
		return deny(ErrNotGranted, "role_missing",
			"系统"+c.System.FullName()+"没有角色"+role, "system "+c.System.FullName()+" does not act as "+role)
	}
	return nil
}

// matches tells whether one of the globs covers the resource.
func matches(globs []string, resource string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := path.Match(g, resource)
		return err == nil && ok
	})
}

// right says who may use one verb of one noun.
type right struct {
	roles []string // any of these
	owner []string // any of these, in a department the object belongs to
	known bool     // anybody with a credential
}

var (
	admin        = []string{RoleAdministrator}
	adminAuditor = []string{RoleAdministrator, RoleAuditor}
	anyRole      = roles
)

// rights is the table of the administrative verbs, noun by noun as hutongctl has
// them. What is not in it nobody may. Decisions on grants and publications have
// their own functions (Decide; disclosure.Decide), reading records goes through
// Entitles.
var rights = map[string]right{
	"department list": {known: true},
	"department show": {known: true},
	"department put":  {roles: admin},

	"group list": {known: true},
	"group show": {known: true},
	"group put":  {roles: admin},

	"system list":  {roles: adminAuditor, owner: anyRole},
	"system show":  {roles: adminAuditor, owner: anyRole},
	"system put":   {roles: admin},
	"system fence": {roles: admin, owner: []string{RolePublisher}},

	"credential issue":  {roles: admin},
	"credential list":   {roles: adminAuditor, owner: anyRole},
	"credential revoke": {roles: admin, owner: anyRole},

	"resource list": {known: true},
	"resource show": {known: true},
	"resource put":  {roles: admin},

	"schema list":     {known: true},
	"schema show":     {known: true},
	"schema lint":     {known: true},
	"schema register": {roles: admin},

	"grant request": {roles: admin, owner: []string{RoleSubscriber}},
	"grant list":    {roles: adminAuditor, owner: anyRole},
	"grant show":    {roles: adminAuditor, owner: anyRole},

	"quarantine list":    {roles: adminAuditor, owner: []string{RolePublisher}},
	"quarantine show":    {roles: adminAuditor, owner: []string{RolePublisher}},
	"quarantine values":  {owner: []string{RolePublisher}},
	"quarantine discard": {roles: admin, owner: []string{RolePublisher}},

	"subscription create": {roles: admin, owner: []string{RoleSubscriber}},
	"subscription list":   {roles: adminAuditor, owner: anyRole},
	"subscription show":   {roles: adminAuditor, owner: anyRole},
	"subscription pause":  {roles: admin, owner: []string{RoleSubscriber}},
	"subscription resume": {roles: admin, owner: []string{RoleSubscriber}},
	"subscription delete": {roles: admin, owner: []string{RoleSubscriber}},
	"subscription pull":   {owner: []string{RoleSubscriber}},
	"subscription ack":    {owner: []string{RoleSubscriber}},

	"publication list": {roles: []string{RoleAdministrator, RoleAuditor, RoleReviewer}, owner: anyRole},
	"publication show": {roles: []string{RoleAdministrator, RoleAuditor, RoleReviewer}, owner: anyRole},

	"audit events":   {roles: adminAuditor, owner: anyRole},
	"audit evidence": {roles: adminAuditor, owner: anyRole},

	"cluster status":        {roles: adminAuditor},
	"cluster member-add":    {roles: admin},
	"cluster member-remove": {roles: admin},
	"cluster transfer":      {roles: admin},
}

// May tells whether the caller may use an administrative verb of a noun. owners
// are the codes of the departments that the object belongs to: the department of
// a system, credential, quarantine or subscription; publisher and owner of a
// record or publication; subscriber and resource owner of a grant. It returns a
// *Denial of class ErrUnauthenticated or ErrNotGranted.
func May(c Caller, noun, verb string, owners ...string) error {
	if c.Anonymous() {
		return deny(ErrUnauthenticated, "unauthenticated", "未登录或凭证无效", "no valid credential was shown")
	}
	r, ok := rights[noun+" "+verb]
	if ok && (r.known || slices.ContainsFunc(r.roles, c.HasRole)) {
		return nil
	}
	if ok && slices.Contains(owners, c.Department.Code) && slices.ContainsFunc(r.owner, c.HasRole) {
		return nil
	}
	return deny(ErrNotGranted, "right_missing",
		"系统"+c.System.FullName()+"无权执行"+noun+" "+verb,
		"system "+c.System.FullName()+" may not "+verb+" this "+noun)
}
