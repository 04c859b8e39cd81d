package main

import (
	"fmt"
	"maps"
	"strconv"
)

var works = []struct{ name, sector, purpose string }{
	{"%s至%s公路改造工程", "transport", "改善镇乡通行条件"}, {"%s%s桥梁重建工程", "transport", "消除危桥"}, {"%s%s饮水安全巩固提升工程", "water", "解决农村饮水安全"},
	{"%s%s堤防护岸工程", "water", "提高防洪标准"}, {"%s%s中心小学扩建工程", "education", "增加学位"}, {"%s%s卫生院业务用房工程", "health", "改善就医条件"},
	{"%s%s安置房建设工程", "housing", "安置征地移民"}, {"%s%s污水处理及管网工程", "environment", "达标排放"}, {"%s%s高标准农田建设项目", "agriculture", "提升耕地质量"},
	{"%s%s文化体育中心工程", "culture", "完善公共文化设施"}, {"%s%s便民服务中心建设项目", "governance", "集中办事窗口"},
}

var (
	projectStatuses = []string{"identification", "preparation", "implementation", "implementation", "completion", "maintenance"}
	statusNames     = map[string]string{"identification": "立项", "preparation": "前期", "implementation": "在建", "completion": "竣工", "maintenance": "运行", "mystery": "停缓建待定"}
	sectorNames     = map[string]string{"transport": "交通", "water": "水利", "education": "教育", "health": "卫生", "housing": "住房", "environment": "环保", "agriculture": "农业", "culture": "文体", "governance": "政务"}
)

const projectCount = 156

// projects are the county's project register, money in 万元 there. Three rows
// are wrong.
func projects() []item {
	w := newWords(7)
	var out []item
	for n := range projectCount {
		out = append(out, item{dept: "fgw", body: project(w, n+1)})
	}
	wrong := func(n int, spoil body) {
		b := project(w, n)
		maps.Copy(b, spoil)
		out = append(out, item{dept: "fgw", body: b, wrong: byAdapter})
	}
	wrong(projectCount+1, body{"total_investment": "约三千万"})
	wrong(projectCount+2, body{"uscc": w.wrongUSCC()})
	wrong(projectCount+3, body{"status": "mystery"})
	return out
}

func projectCode(n int) string { return fmt.Sprintf("2026-%s-48-01-%06d", region, 100000+7*n) }

func project(w words, n int) body {
	work := pick(w, works)
	town, other := pick(w, townWords)+"镇", pick(w, placeWords)
	status := pick(w, projectStatuses)
	start := workdays(moments("2025-03-03"), w.between(0, 320))
	end := start.AddDate(0, w.between(6, 30), 0)
	b := body{
		"project_code": projectCode(n), "project_name": fmt.Sprintf(work.name, town, other), "owner": "开州区" + town + "人民政府", "uscc": w.uscc("11"),
		"dept_code": unitCode(pick(w, []string{"fgw", "jw", "gtfg"})), "sector": work.sector, "region": region, "location": "开州区" + town, "purpose": work.purpose,
		"status": status, "total_investment": strconv.Itoa(w.between(85, 32000) * 10000), "currency": "CNY", "planned_start": day(start), "planned_end": day(end),
	}
	if status == "implementation" || status == "completion" || status == "maintenance" {
		b["actual_start"], b["contractor"], b["supervisor"] = day(workdays(start, w.between(1, 40))), w.firm(), "开州区"+pick(w, firmStems)+"监理有限公司"
		b["progress"] = w.between(5, 95)
	}
	if status == "completion" || status == "maintenance" {
		b["actual_end"], b["progress"] = day(workdays(end, w.between(0, 60))), 100
	}
	return b
}

// stages are what each department discloses of a project.
var stages = map[string]struct {
	stage string
	items []string
}{
	"fgw":  {"立项审批", []string{"审批文件", "可行性研究"}},
	"jw":   {"施工管理", []string{"施工许可", "监理单位"}},
	"gtfg": {"征地拆迁", []string{"征地公告", "补偿方案"}},
	"czj":  {"资金管理", []string{"资金拨付", "审计结果"}},
}

// Of the disclosures of each department: how many there are, and of these which
// ones (by place) have a story of their own.
const (
	disclosuresEach = 24
	returnedPlace   = 3  // sent back at the secrecy review
	editedPlace     = 5  // edited after the secrecy review: it begins again
	withdrawnPlace  = 11 // withdrawn after it was published
)

// disclosures are what departments disclose of the projects; one of each
// department is edited later.
func disclosures(s *story) {
	w := newWords(8)
	list := s.first["projects.project"]
	for _, dept := range disclosers {
		st := stages[dept]
		for n := range disclosuresEach {
			p := list[(n/len(st.items))*5].body
			s.first["projects.disclosure"] = append(s.first["projects.disclosure"], item{dept: dept, body: disclosure(w, p, dept, st.stage, st.items[n%len(st.items)])})
		}
		edited := s.first["projects.disclosure"][len(s.first["projects.disclosure"])-disclosuresEach+editedPlace]
		b := maps.Clone(edited.body)
		b["content"] = fmt.Sprint(b["content"]) + "(更正:原文金额单位有误,以本次公布为准。)"
		s.later["projects.disclosure"] = append(s.later["projects.disclosure"], item{dept: dept, body: b})
	}
	bad := maps.Clone(s.first["projects.disclosure"][0].body)
	bad["item"], bad["title"] = "领导批示", "内部材料"
	s.first["projects.disclosure"] = append(s.first["projects.disclosure"], item{dept: "fgw", body: bad, wrong: byAdapter})
}

func disclosure(w words, p body, dept, stage, what string) body {
	occurred := workdays(moments("2026-04-01"), w.between(0, 110))
	title := fmt.Sprintf("%s%s", p["project_name"], map[string]string{"审批文件": "立项批复", "可行性研究": "可行性研究报告批复", "施工许可": "施工许可证核发", "监理单位": "监理单位公示", "征地公告": "征地公告", "补偿方案": "补偿安置方案", "资金拨付": "工程款拨付", "审计结果": "竣工决算审计结果"}[what])
	b := body{
		"project_code": p["project_code"], "project_name": p["project_name"], "stage": stage, "item": what, "title": title,
		"content": fmt.Sprintf("%s于%s公布%s。项目位于%s,总投资%s元。", departmentOf(dept).name, chinese(day(occurred)), title, p["location"], p["total_investment"]),
		"doc_no":  fmt.Sprintf("开%s发〔2026〕%d号", string([]rune(departmentOf(dept).short)[1:2]), w.between(1, 300)), "occurred_on": day(occurred), "due_on": day(workdays(occurred, 20)),
		"disclosed_on": day(workdays(occurred, w.between(2, 18))), "evidence_sha256": digest(title + dept),
	}
	if what == "资金拨付" {
		b["amount"], b["currency"] = fmt.Sprintf("%d.%02d", w.between(10_000, 9_000_000), w.r.IntN(100)), "CNY"
		b["counterparty"], b["counterparty_uscc"] = w.firm(), w.uscc("91")
	}
	return b
}
