package policy

import (
	"slices"

	"github.com/hutong-bus/hutong/schemas"
)

// View is the compiled answer to one question: what of a record of this resource
// and schema version may this recipient have? It is immutable. The zero View
// keeps nothing.
type View struct {
	root   *keeper
	reason bool // a free text about the whole record may be shown, too; see Reason
}

// keeper is the answer for one field and all below it.
type keeper struct {
	keep  bool     // the value, and members below that are not in kids
	masks []string // applied to a value that is kept, in order
	kids  map[string]*keeper
	rest  *keeper // the same answer without kids: for members not in kids
}

// Whole tells whether the view keeps every byte: Project then returns what it is
// given.
func (v *View) Whole() bool { return v != nil && v.root != nil && v.root.plain() }

// Empty tells whether the view keeps no field at all.
func (v *View) Empty() bool { return v == nil || v.root == nil || !v.root.any() }

// plain tells whether the value is copied as it is.
func (k *keeper) plain() bool { return k.keep && len(k.masks) == 0 && len(k.kids) == 0 }

func (k *keeper) any() bool {
	if k.keep {
		return true
	}
	for _, kid := range k.kids {
		if kid.any() {
			return true
		}
	}
	return false
}

// GrantView compiles what the grant covers of a record of schema version s, while
// newest is the resource's newest version (nil: s itself): its fields, never one
// that either version withholds, under the masks of both. So a field that turned
// out to need protection is protected in what was published before, and no
// publisher gets around it by naming an old version. Fields that the grant names
// and s does not have are left out. Whether the grant is in force for a caller is for Entitles. It returns a
// *Denial of class ErrInvalid for a grant of another resource, ErrNotGranted for
// one with a row filter, ErrWithheld for a withheld resource, or ErrRule.
func GrantView(r schemas.Resource, s, newest Schema, g Grant) (*View, error) {
	if g.Resource != r.Resource {
		return nil, fault("resource", "other_resource",
			"授权"+g.Grant+"不是关于"+r.Resource+"的", "grant "+g.Grant+" is not about "+r.Resource)
	}
	if g.Filter != "" {
		return nil, deny(ErrNotGranted, "filter_unsupported",
			"授权"+g.Grant+"带有行过滤，尚不支持", "grant "+g.Grant+" has a row filter, which is not supported")
	}
	rules, err := strictRules(r, s, newest)
	if err != nil {
		return nil, err
	}
	if rules.root.class == classWithheld {
		return nil, withheldResource(r)
	}
	granted := map[*rule]bool{}
	if g.Fields.All {
		granted[rules.root] = true
	}
	for _, name := range g.Fields.Names {
		path, err := parsePath(name)
		if err != nil {
			continue
		}
		if n, ok := rules.find(path); ok {
			granted[n] = true
		}
	}
	return &View{root: grantKeeper(rules.root, granted, false), reason: g.Fields.All}, nil
}

// grantKeeper answers for one field; above tells whether one above it is granted.
func grantKeeper(n *rule, granted map[*rule]bool, above bool) *keeper {
	above = above || granted[n]
	k := &keeper{keep: above && n.class != classWithheld, masks: n.masks}
	return k.close(n, func(kid *rule) *keeper { return grantKeeper(kid, granted, above) })
}

// PortalView compiles what the portal may show of a record of schema version s,
// while newest is the resource's newest version (nil: s itself): fields with
// portal rule publish, through their mask those with rule mask, and those with
// rule decided only when the publication was decided by its steps
// (disclosure.Publication.Decided). Both versions must let a field onto the
// portal, so one that the newest no longer has, or no longer names for the portal,
// is off it. A reviewer is shown the view with decided,
// because that is what would be published. It returns a *Denial of class
// ErrNotGranted where the resource has no route to the portal, ErrWithheld for a
// withheld resource, or ErrRule.
func PortalView(r schemas.Resource, s, newest Schema, decided bool) (*View, error) {
	if route := r.Disclosure.Route; route != schemas.RouteSelf && route != schemas.RouteReviewed {
		return nil, deny(ErrNotGranted, "no_route",
			r.Resource+"不对外公开", r.Resource+" has no route to the portal")
	}
	rules, err := strictRules(r, s, newest)
	if err != nil {
		return nil, err
	}
	if rules.root.class == classWithheld {
		return nil, withheldResource(r)
	}
	return &View{root: portalKeeper(rules.root, decided)}, nil
}

func portalKeeper(n *rule, decided bool) *keeper {
	p := n.portal
	k := &keeper{
		keep:  p.named && !p.never && (decided || !p.decided) && n.class != classWithheld,
		masks: n.masks,
	}
	for _, m := range n.portalMasks {
		if !slices.Contains(k.masks, m) {
			k.masks = append(slices.Clip(k.masks), m)
		}
	}
	return k.close(n, func(kid *rule) *keeper { return portalKeeper(kid, decided) })
}

// OwnerView keeps everything: for the department that published a key, reading
// its own record back through a system in the role publisher. keyOwner is the
// code of that department. It returns a *Denial of class ErrUnauthenticated or
// ErrNotGranted for anybody else.
func OwnerView(c Caller, keyOwner string) (*View, error) {
	if err := inRole(c, RolePublisher); err != nil {
		return nil, err
	}
	if c.Department.Code != keyOwner {
		return nil, deny(ErrNotGranted, "not_key_owner",
			"只有发布该记录的部门可以全文读回", "only the department that published the record may read it back whole")
	}
	return &View{root: &keeper{keep: true}, reason: true}, nil
}

// ReasonHidden is what Reason shows where the reason itself may not be shown.
const ReasonHidden = "withdrawn"

// Reason is what a recipient is told of why a record was withdrawn. The
// publisher's text is free and may name any field, so it is shown only where the
// view is whole or compiled from a grant of all fields; everybody else is told
// ReasonHidden. An empty reason stays empty.
func Reason(v *View, reason string) string {
	if reason == "" || v.Whole() || v != nil && v.reason {
		return reason
	}
	return ReasonHidden
}

// close adds the answers for the members below, leaving out those that say no
// more than the field's own answer.
func (k *keeper) close(n *rule, of func(*rule) *keeper) *keeper {
	for name, kid := range n.kids {
		below := of(kid)
		if len(below.kids) == 0 && below.keep == k.keep && (!k.keep || slices.Equal(below.masks, k.masks)) {
			continue
		}
		if k.kids == nil {
			k.kids = make(map[string]*keeper)
		}
		k.kids[name] = below
	}
	k.rest = &keeper{keep: k.keep, masks: k.masks}
	return k
}

func withheldResource(r schemas.Resource) error {
	return deny(ErrWithheld, "resource_withheld",
		r.Resource+"不予共享", r.Resource+" is withheld and leaves the bus to nobody")
}
