package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/schemas"
)

// Decisions on a grant.
const (
	ActionApprove = "approve"
	ActionRefuse  = "refuse"
	ActionRevoke  = "revoke"
)

// grantMoves says to which state an action leads, from which state only.
var grantMoves = map[string]struct{ from, to string }{
	ActionApprove: {GrantRequested, GrantApproved},
	ActionRefuse:  {GrantRequested, GrantRefused},
	ActionRevoke:  {GrantApproved, GrantRevoked},
}

// CheckGrant checks what a grant asks of its resource and schema, all reasons
// joined (see Denials): every field exists in the schema, nothing withheld is asked for, a
// purpose is given, and a legal basis where anything conditional is asked for. It
// returns errors of class ErrInvalid, ErrWithheld or ErrRule. The grant's own form
// is for Grant.Validate.
func CheckGrant(g Grant, r schemas.Resource, s Schema) error {
	var f faults
	if g.Resource != r.Resource {
		f.add("resource", "other_resource", "授权所写的数据资源不是"+r.Resource, "the grant is not about "+r.Resource)
	}
	rules, err := compileRules(r, s)
	if err != nil {
		return errors.Join(append(f, err)...)
	}
	if rules.root.class == classWithheld {
		return errors.Join(append(f, &Denial{Class: ErrWithheld, Reason: "resource_withheld", Member: "resource",
			Zh: r.Resource + "不予共享，不能授权", En: r.Resource + " is withheld and may be granted to nobody"})...)
	}
	conditional := g.Fields.All && rules.root.conditional()
	for _, name := range g.Fields.Names {
		path, err := parsePath(name)
		n, known := rules.find(path)
		switch {
		case err != nil || !known:
			f.add("fields", "field_unknown",
				"模式中没有字段"+name, "the schema has no field "+name)
		case n.class == classWithheld:
			f = append(f, &Denial{Class: ErrWithheld, Reason: "field_withheld", Member: "fields",
				Zh: "字段" + name + "不予共享，不能授权", En: "field " + name + " is withheld and may be granted to nobody"})
		case n.conditional():
			conditional = true
		}
	}
	if strings.TrimSpace(g.Purpose) == "" {
		f.add("purpose", "purpose_missing", "须写明用途", "a purpose must be given")
	}
	if b := g.LegalBasis; conditional && (strings.TrimSpace(b.Instrument) == "" || strings.TrimSpace(b.Article) == "") {
		f.add("legal_basis", "legal_basis_missing", "有条件共享的数据须写明依据的文件和条款",
			"data shared under conditions needs a legal basis with instrument and article")
	}
	return errors.Join(f...)
}

// CanDecide tells whether the caller may decide grants of the resource: a system
// of the owner in the role reviewer, or an administrator. It returns a *Denial of
// class ErrUnauthenticated or ErrNotGranted.
func CanDecide(by Caller, r schemas.Resource) error {
	if by.Anonymous() {
		return deny(ErrUnauthenticated, "unauthenticated", "未登录或凭证无效", "no valid credential was shown")
	}
	if by.HasRole(RoleAdministrator) || by.Department.Code == r.Owner && by.HasRole(RoleReviewer) {
		return nil
	}
	return deny(ErrNotGranted, "not_decider",
		"只有提供部门"+r.Owner+"的审核系统或管理员可以决定授权",
		"grants are decided by a reviewer of the owner "+r.Owner+" or by an administrator")
}

// Decide takes one decision on a grant at log time now (ms): approve or refuse a
// requested one, revoke an approved one. A reason is needed to refuse and to
// revoke; a grant whose end has come is not approved. Revision is left to who
// stores the grant. It returns a *Denial of class ErrUnauthenticated,
// ErrNotGranted, ErrTransition or ErrInvalid, and then g as it was.
func Decide(g Grant, action string, by Caller, r schemas.Resource, reason string, now int64) (Grant, error) {
	if err := CanDecide(by, r); err != nil {
		return g, err
	}
	move, ok := grantMoves[action]
	if !ok || g.Resource != r.Resource {
		return g, deny(ErrInvalid, "unknown_action",
			"只能对"+r.Resource+"的授权作approve、refuse或revoke",
			"the decision is approve, refuse or revoke, on a grant of "+r.Resource)
	}
	if g.State != move.from {
		return g, deny(ErrTransition, "grant_"+g.State,
			fmt.Sprintf("授权%s现状态为%s，不能%s", g.Grant, grantStateZh(g.State), actionZh(action)),
			fmt.Sprintf("grant %s is %s and cannot be %s", g.Grant, g.State, move.to))
	}
	if end, err := ParseTime(g.NotAfter); action == ActionApprove && (err != nil || now >= end) {
		return g, deny(ErrTransition, "grant_expired",
			"授权"+g.Grant+"的终止时间已过，须重新申请", "the end of grant "+g.Grant+" has passed, request it anew")
	}
	if action != ActionApprove && strings.TrimSpace(reason) == "" {
		return g, deny(ErrInvalid, "reason_missing", "拒绝或撤销授权须写明理由", "a refusal or revocation needs a reason")
	}
	var f faults
	if f.text("reason", reason, true); len(f) > 0 {
		return g, f[0]
	}
	g.State, g.DecidedBy, g.Reason = move.to, by.System.FullName(), reason
	g.Fields.Names = slices.Clone(g.Fields.Names)
	return g, nil
}

func grantStateZh(state string) string {
	switch state {
	case GrantRequested:
		return "待批"
	case GrantApproved:
		return "已批准"
	case GrantRefused:
		return "已拒绝"
	case GrantRevoked:
		return "已撤销"
	case GrantExpired:
		return "已到期"
	}
	return "不明"
}

func actionZh(action string) string {
	switch action {
	case ActionApprove:
		return "批准"
	case ActionRefuse:
		return "拒绝"
	}
	return "撤销"
}
