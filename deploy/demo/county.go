package main

import (
	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// department is one organisation of the county.
type department struct {
	code, name, short, kind, level, region, duties string
	// publishes and receives are globs of the resources of its exchange system.
	resources []string
	reviews   bool // has a system for people who decide
}

// departments are the county, the operator first.
var departments = []department{
	{"egov", "电子政务办公室", "电子政务办", "government", "county", region, "电子政务网络、数据共享平台和政府信息公开平台的建设与运行", []string{"org.*"}, true},
	{"xzf", "县人民政府办公室", "县政府办", "government", "county", region, "县政府日常事务、督查督办和政府信息公开的组织协调", []string{"*"}, true},
	{"bmj", "县国家保密局", "县保密局", "party", "county", region, "保密管理和信息公开保密审查指导", nil, true},
	{"fgw", "县发展和改革委员会", "县发展改革委", "government", "county", region, "国民经济规划、投资项目审批核准备案", []string{"approvals.*", "motions.*", "projects.*"}, true},
	{"czj", "县财政局", "县财政局", "government", "county", region, "财政收支、非税收入和政府采购监督", []string{"approvals.*", "motions.*", "projects.*"}, true},
	{"jw", "县城乡建设委员会", "县建委", "government", "county", region, "城乡建设、建筑市场和工程质量安全监督", []string{"approvals.*", "motions.*", "projects.*"}, true},
	{"gtfg", "县国土资源和房屋管理局", "县国土房管局", "government", "county", region, "土地、矿产和房屋管理,不动产登记", []string{"approvals.*", "motions.*", "projects.*"}, true},
	{"syj", "县食品药品监督管理局", "县食药监局", "government", "county", region, "食品药品和医疗器械监督管理", []string{"approvals.*", "motions.*"}, false},
	{"hbj", "县环境保护局", "县环保局", "government", "county", region, "环境影响评价审批、排污许可和环境监察", []string{"approvals.*", "motions.*"}, false},
	{"ajj", "县安全生产监督管理局", "县安监局", "government", "county", region, "安全生产许可和监督检查", []string{"approvals.*", "motions.*"}, false},
	{"zxta", "县政协提案委员会", "政协提案委", "cppcc", "county", region, "提案征集、审查立案、交办督办", []string{"motions.*"}, true},
	{"rdb", "县人大常委会办公室", "县人大办", "npc", "county", region, "代表建议的征集、交办和督办", []string{"motions.*"}, false},
	{"qingshui", "清水镇人民政府", "清水镇", "government", "town", region + "101", "本镇经济社会发展、社会治理和便民服务", []string{"approvals.*"}, false},
	{"baiqiao", "白桥镇人民政府", "白桥镇", "government", "town", region + "102", "本镇经济社会发展、社会治理和便民服务", []string{"approvals.*"}, false},
	{"shimen", "石门乡人民政府", "石门乡", "government", "town", region + "103", "本乡经济社会发展、社会治理和便民服务", []string{"approvals.*"}, false},
}

// handlers are the departments that keep approvals and handle motions.
var handlers = []string{"fgw", "czj", "jw", "gtfg", "syj", "hbj", "ajj"}

// disclosers are the departments that disclose projects, each its own stage.
var disclosers = []string{"fgw", "jw", "gtfg", "czj"}

var towns = []string{"qingshui", "baiqiao", "shimen"}

func departmentOf(code string) department {
	for _, d := range departments {
		if d.code == code {
			return d
		}
	}
	return department{}
}

// Systems of a department: programs exchange, people decide.
const (
	exchangeSystem = "exchange"
	reviewSystem   = "review"
	auditSystem    = "audit"
)

// catalogue is the county's catalogue.
func catalogue() []api.Resource {
	entry := func(name, zh, en, owner, sharing string, publishers ...string) api.Resource {
		return api.Resource{Resource: name, Title: schemas.Title{Zh: zh, En: en}, Owner: owner, Publishers: publishers, Key: keys[name], Sharing: sharing,
			Disclosure: schemas.Disclosure{Route: schemas.RouteNone}, UpdateFrequency: "daily", Retention: "permanent", Erasable: true}
	}
	self := func(r api.Resource, f schemas.Feed) api.Resource {
		r.Disclosure.Route, r.Feed = schemas.RouteSelf, &f
		return r
	}
	disclosure := entry("projects.disclosure", "工程项目公开信息", "Project disclosures", "fgw", schemas.SharingUnconditional, disclosers...)
	disclosure.Disclosure = schemas.Disclosure{Route: schemas.RouteReviewed, Steps: []schemas.Step{
		{Name: "单位初审", Role: "reviewer", Department: schemas.StepPublisher},
		{Name: "保密审查", Role: "reviewer", Department: "bmj"},
		{Name: "电子政务办复核", Role: "reviewer", Department: "egov"},
		{Name: "县政府办审核", Role: "reviewer", Department: "xzf"},
	}}
	disclosure.Feed = &schemas.Feed{Title: "{{.title}}", Summary: "{{.stage}} · {{.item}}", Link: "/projects/{{.project_code}}"}
	return []api.Resource{
		self(entry("org.unit", "机构", "Units", "egov", schemas.SharingUnconditional), schemas.Feed{Title: "{{.name}}", Summary: "{{.address}} {{.phone}}"}),
		self(entry("approvals.service_item", "政务服务事项", "Service items", "egov", schemas.SharingUnconditional, handlers...), schemas.Feed{Title: "{{.task_name}}", Summary: "{{.dept_name}},承诺{{.promised_days}}个{{.legal_unit}}"}),
		entry("approvals.case", "办件", "Cases", "egov", schemas.SharingConditional, handlers...),
		entry("approvals.event", "办件过程", "Case events", "egov", schemas.SharingConditional, handlers...),
		entry("motions.motion", "建议提案", "Motions", "zxta", schemas.SharingUnconditional, "zxta", "rdb"),
		entry("motions.step", "建议提案过程", "Motion steps", "zxta", schemas.SharingUnconditional, "zxta"),
		entry("motions.handling", "建议提案承办", "Motion handlings", "zxta", schemas.SharingUnconditional, "group:handlers"),
		entry("projects.project", "工程项目", "Projects", "fgw", schemas.SharingUnconditional),
		disclosure,
	}
}

// order is a grant with the subscriptions under it.
type order struct {
	grant, resource, subscriber string
	fields                      []string // nil: all that are not withheld
	purpose, article            string
	systems                     []string // departments whose exchange system subscribes
}

// orders are who receives what, and why.
func orders() []order {
	var out []order
	for _, r := range resources() {
		out = append(out, order{grant: "xzf-" + dashed(r), resource: r, subscriber: "xzf", purpose: "督查督办与全县政务运行分析", article: "第十二条", systems: []string{"xzf"}})
	}
	for _, h := range handlers {
		out = append(out, order{grant: h + "-motions", resource: "motions.motion", subscriber: h, purpose: "办理建议提案", article: "第八条", systems: []string{h},
			fields: []string{"body", "motion_no", "term", "session", "kind", "title", "content", "first_proposer", "category", "assigned_at", "reply_due", "lead_unit", "join_units", "status"}})
	}
	return append(out,
		order{grant: "zxta-replies", resource: "motions.handling", subscriber: "zxta", purpose: "提案办理督办和办复反馈", article: "第八条", systems: []string{"zxta"}},
		order{grant: "rdb-replies", resource: "motions.handling", subscriber: "rdb", purpose: "代表建议办理督办", article: "第八条", systems: []string{"rdb"},
			fields: []string{"motion_key", "motion_title", "unit", "unit_name", "role", "sign_state", "reply_no", "result_class", "replied_at"}},
		order{grant: "czj-cases", resource: "approvals.case", subscriber: "czj", purpose: "行政事业性收费核定", article: "第九条", systems: []string{"czj"},
			fields: []string{"case_no", "task_code", "task_name", "dept_code", "dept_name", "status", "fee", "accepted_at", "closed_at"}},
		order{grant: "jw-projects", resource: "projects.project", subscriber: "jw", purpose: "施工许可核对项目立项", article: "第九条", systems: []string{"jw"},
			fields: []string{"project_code", "project_name", "owner", "uscc", "status", "planned_start", "planned_end"}},
		order{grant: "towns-items", resource: "approvals.service_item", subscriber: "group:towns", purpose: "镇乡便民服务中心代办", article: "第十条", systems: towns},
	)
}

// subscription is the name of a department's standing order.
func (o order) subscription(dept string) string {
	if len(o.systems) == 1 {
		return o.grant
	}
	return dept + "-" + dashed(o.resource)
}
