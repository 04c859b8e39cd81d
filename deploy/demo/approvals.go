package main

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// service is one line of a department's list of powers: name, type, days the
// law gives, days promised, fee in yuan.
type service struct {
	name            string
	kind            string
	legal, promised int
	fee             int
}

// services are what each department decides.
var services = map[string][]service{
	"fgw":  {{"政府投资项目可行性研究报告审批", "01", 20, 12, 0}, {"企业投资项目核准", "01", 20, 10, 0}, {"企业投资项目备案", "20", 7, 3, 0}, {"固定资产投资项目节能审查", "01", 20, 10, 0}, {"工程项目招标方案核准", "10", 15, 7, 0}, {"商品价格认证", "07", 10, 5, 300}, {"粮食收购资格认定", "01", 15, 8, 0}},
	"czj":  {{"会计代理记账机构执业资格审批", "01", 20, 10, 0}, {"政府采购方式变更审批", "10", 10, 5, 0}, {"财政票据领用登记", "07", 5, 2, 0}, {"非营利组织免税资格认定", "07", 20, 15, 0}, {"惠农补贴发放核定", "05", 20, 12, 0}, {"国有资产处置审批", "10", 15, 10, 0}},
	"jw":   {{"建筑工程施工许可证核发", "01", 15, 7, 0}, {"城镇污水排入排水管网许可", "01", 20, 10, 0}, {"建筑业企业资质初审", "01", 20, 12, 0}, {"房屋建筑工程竣工验收备案", "07", 15, 5, 0}, {"燃气经营许可证核发", "01", 20, 12, 0}, {"临时占用城市道路审批", "01", 20, 6, 860}, {"市政设施建设类审批", "01", 20, 8, 0}, {"超限高层建筑抗震设防审查", "01", 20, 15, 0}},
	"gtfg": {{"建设用地预审", "01", 20, 12, 0}, {"商品房预售许可", "01", 10, 6, 0}, {"国有建设用地使用权首次登记", "07", 30, 7, 550}, {"房屋所有权转移登记", "07", 30, 5, 80}, {"采矿权延续登记", "01", 40, 20, 200}, {"物业服务企业资质核定", "01", 20, 10, 0}, {"农村宅基地审批", "01", 30, 15, 0}, {"临时用地审批", "01", 20, 10, 0}},
	"syj":  {{"食品经营许可", "01", 20, 10, 0}, {"食品小作坊登记", "07", 15, 7, 0}, {"药品零售企业许可", "01", 30, 15, 0}, {"第二类医疗器械经营备案", "20", 5, 1, 0}, {"药品经营质量管理规范认证", "01", 60, 30, 0}, {"食品抽检不合格处罚", "02", 90, 60, 0}},
	"hbj":  {{"建设项目环境影响报告书审批", "01", 60, 25, 0}, {"建设项目环境影响报告表审批", "01", 30, 12, 0}, {"排污许可证核发", "01", 20, 12, 0}, {"危险废物收集经营许可", "01", 20, 15, 0}, {"防治污染设施拆除闲置审批", "01", 30, 10, 0}, {"夜间施工噪声许可", "01", 7, 2, 0}},
	"ajj":  {{"危险化学品经营许可", "01", 30, 15, 0}, {"烟花爆竹零售经营许可", "01", 20, 8, 0}, {"非煤矿山安全生产许可初审", "01", 45, 20, 0}, {"安全评价机构备案", "20", 10, 3, 0}, {"生产安全事故应急预案备案", "20", 10, 5, 0}, {"易制毒化学品经营备案", "20", 5, 2, 0}},
}

var taskTypes = map[string]string{"01": "行政许可", "02": "行政处罚", "05": "行政给付", "07": "行政确认", "10": "其他行政权力", "20": "公共服务"}

func taskCode(dept string, n int) string {
	return fmt.Sprintf("%s%s%03d", region, unitCode(dept)[8:14], n+1)
}

// serviceItems is every department's list of powers. One promise is typed in
// words instead of a number.
func serviceItems() []item {
	w := newWords(3)
	var out []item
	for _, dept := range handlers {
		d := departmentOf(dept)
		for i, s := range services[dept] {
			b := body{
				"task_code": taskCode(dept, i), "catalog_code": fmt.Sprintf("%s%04d%s", "0001", w.between(100, 9900), s.kind), "task_name": s.name, "task_type": s.kind,
				"task_version": w.between(1, 4), "task_state": "在用", "dept_code": unitCode(dept), "dept_name": d.name, "region": region, "use_level": "县",
				"power_source": "法定本级行使", "by_law": fmt.Sprintf("《%s管理条例》第%d条", strings.TrimPrefix(d.short, "县"), w.between(6, 58)),
				"conditions": "申请材料齐全,符合法定形式;" + taskTypes[s.kind] + "事项由本县行使", "flow": "申请—受理—审查—决定—送达", "legal_days": s.legal, "legal_unit": "工作日", "promised_days": s.promised,
				"windows": []any{fmt.Sprintf("行政服务中心%d楼%d号窗口", w.between(1, 3), w.between(1, 40)), d.short + "政务大厅"},
				"consult": fmt.Sprintf("023-5200%04d", w.r.IntN(10000)), "supervise": "023-52001234", "field_no": w.between(1, 9), "sub_no": w.between(1, 121),
			}
			if s.fee > 0 {
				b["fee_standard"] = fmt.Sprintf("%d元/件", s.fee)
			}
			out = append(out, item{dept: dept, body: b})
		}
	}
	bad := maps.Clone(out[3].body)
	bad["task_code"], bad["task_name"], bad["promised_days"] = taskCode("fgw", 90), "重大项目稽察", "三十天"
	return append(out, item{dept: "fgw", body: bad, wrong: byAdapter})
}

// casesOfDepartment is how many cases each department has when the county
// starts.
const casesOfDepartment = 42

// caseLine is a case on its way with what its next events need.
type caseLine struct {
	item
	service  service
	at       time.Time // of the last event
	accepted time.Time
	events   int
	paused   int // working days so far
}

// caseMaker makes cases and their events.
type caseMaker struct {
	w words
	s *story
}

// approvals makes cases and events: what there is at first, and how it goes on.
func approvals(s *story) {
	m := caseMaker{newWords(4), s}
	var open []*caseLine
	for _, dept := range handlers {
		for n := range casesOfDepartment {
			c := m.newCase(dept, n)
			m.proceed(c)
			s.first["approvals.case"] = append(s.first["approvals.case"], c.item)
			open = append(open, c)
		}
	}
	m.wrongCases()
	for _, c := range open {
		m.later(c)
	}
	m.foreignCases(open)
}

// newCase is a case that has just been handed in.
func (m caseMaker) newCase(dept string, n int) *caseLine {
	w := m.w
	i := w.r.IntN(len(services[dept]))
	sv, d := services[dept][i], departmentOf(dept)
	applied := w.office(moments("2026-03-02"), w.between(0, 160))
	b := body{
		"case_no": fmt.Sprintf("%s-2026-%05d", strings.ToUpper(dept), n+1), "query_code": fmt.Sprintf("%06d", w.r.IntN(1_000_000)),
		"task_code": taskCode(dept, i), "task_name": sv.name, "dept_code": unitCode(dept), "dept_name": d.name, "region": region,
		"applied_at": moment(applied), "status": "收件", "phone": w.mobile(), "address": w.address(), "currency": "CNY",
	}
	if w.chance(65) {
		b["applicant_type"], b["applicant_name"], b["applicant_id_type"], b["applicant_id"], b["legal_rep"] = "2", w.firm(), "USCC", w.uscc("91"), w.person()
	} else {
		b["applicant_type"], b["applicant_name"], b["applicant_id_type"], b["applicant_id"] = "1", w.person(), "111", w.idNumber()
	}
	if sv.fee > 0 {
		b["fee"] = fmt.Sprintf("%d.00", sv.fee)
	}
	c := &caseLine{item: item{dept: dept, body: b}, service: sv, at: applied}
	m.event(c, &m.s.first, "收件", "窗口收件", nil)
	return c
}

// proceed takes a new case as far as it has come.
func (m caseMaker) proceed(c *caseLine) {
	w, b, to := m.w, c.body, &m.s.first
	stage := w.r.IntN(100)
	if stage < 8 {
		return // only just handed in
	}
	c.at = w.office(c.at, w.between(0, 2))
	if stage < 13 {
		b["status"], b["closed_at"] = "不予受理", moment(c.at)
		m.event(c, to, "不予受理", "窗口审查", body{"opinion": "申请事项不属于本机关职权范围"})
		return
	}
	c.accepted = c.at
	b["status"], b["accepted_at"] = "受理", moment(c.at)
	m.due(c)
	m.event(c, to, "受理", "受理", body{"opinion": "材料齐全,予以受理"})
	if stage < 25 {
		return
	}
	c.at = w.office(c.at, 1)
	b["status"] = "办理中"
	m.event(c, to, "环节", "承办人审查", body{"opinion": "符合规定,建议同意"})
	if fee, ok := b["fee"]; ok {
		m.event(c, to, "缴费", "缴费", body{"fee": fee})
	}
	if stage < 60 {
		m.pause(c, to)
	}
	switch {
	case stage < 45: // the clock still stands
	case stage < 60:
		m.resume(c, to)
	case stage < 95:
		m.close(c, to, true)
	default:
		m.close(c, to, false)
	}
}

// due is the promised day, counted on by what the clock stood.
func (m caseMaker) due(c *caseLine) {
	c.body["due_at"] = moment(workdays(c.accepted, c.service.promised+c.paused))
	if c.paused > 0 {
		c.body["paused_workdays"] = c.paused
	}
}

func (m caseMaker) pause(c *caseLine, to *map[string][]item) {
	c.at = m.w.office(c.at, 1)
	c.body["status"] = "计时暂停"
	why := pick(m.w, []string{"现场勘验", "专家评审", "公示", "检验检测", "补正材料"})
	m.event(c, to, "计时暂停", why, body{"paused_reason": why + ",依法不计入办理时限", "paused_basis": "《行政许可法》第四十五条"})
}

func (m caseMaker) resume(c *caseLine, to *map[string][]item) {
	n := m.w.between(3, 15)
	c.at = m.w.office(c.at, n)
	c.paused += n
	c.body["status"] = "办理中"
	m.due(c)
	m.event(c, to, "计时恢复", "恢复办理", body{"paused_workdays": n})
}

func (m caseMaker) close(c *caseLine, to *map[string][]item, granted bool) {
	c.at = m.w.office(c.at, m.w.between(1, 4))
	b := c.body
	b["closed_at"] = moment(c.at)
	if !granted {
		b["status"] = "办结不予"
		m.event(c, to, "办结", "决定", body{"opinion": "不符合法定条件,作出不予许可决定"})
		return
	}
	no := fmt.Sprintf("开%s许〔2026〕%d号", strings.TrimPrefix(departmentOf(c.dept).short, "县")[:3], m.w.between(1, 900))
	b["status"], b["result_no"], b["result_name"] = "办结准予", no, c.service.name+"决定书"
	b["valid_from"], b["valid_to"] = day(c.at), day(c.at.AddDate(m.w.between(1, 5), 0, 0))
	if m.w.chance(60) {
		b["evaluation"] = m.w.between(3, 5)
	}
	m.event(c, to, "办结", "决定", body{"opinion": "准予许可", "result_no": no})
	m.event(c, to, "结果附件", "制证", body{"result_no": no, "result_name": b["result_name"], "attachment_sha256": digest(no)})
}

// event adds one event of a case.
func (m caseMaker) event(c *caseLine, to *map[string][]item, kind, node string, more body) {
	c.events++
	b := body{"case_no": c.body["case_no"], "event_no": fmt.Sprintf("%02d", c.events), "kind": kind, "node": node, "dept_code": c.body["dept_code"], "handler": m.w.person(), "at": moment(c.at)}
	maps.Copy(b, more)
	(*to)["approvals.event"] = append((*to)["approvals.event"], item{dept: c.dept, body: b})
}

// later goes on with some of the open cases: clocks start again, cases close.
func (m caseMaker) later(c *caseLine) {
	status := c.body["status"]
	if status != "计时暂停" && status != "办理中" || !m.w.chance(45) {
		return
	}
	c.body = maps.Clone(c.body)
	if status == "计时暂停" {
		m.resume(c, &m.s.later)
	} else {
		m.close(c, &m.s.later, true)
	}
	m.s.later["approvals.case"] = append(m.s.later["approvals.case"], c.item)
}

// foreignCases are two cases that one department enters under the number of
// another's: the key belongs to who published it first.
func (m caseMaker) foreignCases(open []*caseLine) {
	found := 0
	for _, c := range open {
		if c.dept != "gtfg" || found == 2 {
			continue
		}
		found++
		b := maps.Clone(c.body)
		b["dept_code"], b["dept_name"] = unitCode("jw"), departmentOf("jw").name
		m.s.later["approvals.case"] = append(m.s.later["approvals.case"], item{dept: "jw", body: b, wrong: byBus})
	}
}

// wrongCases are what windows really type.
func (m caseMaker) wrongCases() {
	wrong := func(dept string, n int, spoil func(body)) {
		c := m.newCase(dept, 900+n)
		list := m.s.first["approvals.event"]
		m.s.first["approvals.event"] = list[:len(list)-1] // its event is not entered either
		spoil(c.body)
		c.wrong = byAdapter
		m.s.first["approvals.case"] = append(m.s.first["approvals.case"], c.item)
	}
	wrong("jw", 1, func(b body) { b["status"] = "已归档" })
	wrong("gtfg", 1, func(b body) { b["status"], b["accepted_at"] = "受理", "2026-02-30T09:00:00+08:00" })
	wrong("syj", 1, func(b body) { delete(b, "task_name") })
	wrong("hbj", 1, func(b body) { b["phone"] = "同上" })
	events := m.s.first["approvals.event"]
	bad := maps.Clone(events[0].body)
	bad["event_no"], bad["kind"] = "90", "转办"
	missing := maps.Clone(events[5].body)
	missing["event_no"] = "91"
	delete(missing, "at")
	m.s.first["approvals.event"] = append(events, item{dept: events[0].dept, body: bad, wrong: byAdapter}, item{dept: events[5].dept, body: missing, wrong: byAdapter})
}
