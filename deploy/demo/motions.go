package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bodies that put motions, as they stand in records.
const (
	cppcc = "县政协"
	npc   = "县人大"
)

// subject is what a motion is about and whose business it is.
type subject struct{ title, category, lead, joins string }

var subjects = []subject{
	{"加快%s老旧小区改造", "城乡建设", "jw", "czj gtfg"},
	{"完善%s公共停车场布局", "城乡建设", "jw", "fgw"},
	{"治理%s占道经营和市容秩序", "城乡建设", "jw", "syj"},
	{"推进%s供水管网改造", "城乡建设", "jw", "fgw czj"},
	{"加强%s农贸市场食品安全监管", "市场监管", "syj", ""},
	{"规范%s网络餐饮服务", "市场监管", "syj", "ajj"},
	{"加强%s校园周边食品店铺整治", "教育卫生", "syj", "czj"},
	{"整治%s河段水环境", "生态环境", "hbj", "jw czj"},
	{"控制%s建筑工地扬尘和夜间噪声", "生态环境", "hbj", "jw"},
	{"建设%s垃圾分类收集设施", "生态环境", "hbj", "fgw"},
	{"加强%s烟花爆竹零售点安全管理", "公共安全", "ajj", ""},
	{"开展%s老旧电梯安全隐患排查", "公共安全", "ajj", "gtfg"},
	{"加强%s非煤矿山安全整治", "公共安全", "ajj", "gtfg hbj"},
	{"简化%s不动产登记手续", "营商环境", "gtfg", ""},
	{"妥善解决%s征地拆迁遗留问题", "社会民生", "gtfg", "czj"},
	{"规范%s物业服务收费", "社会民生", "gtfg", "fgw"},
	{"支持%s农产品冷链项目建设", "经济发展", "fgw", "czj"},
	{"降低%s中小企业用能成本", "经济发展", "fgw", "hbj"},
	{"将%s三峡移民后扶项目纳入年度计划", "社会民生", "fgw", "czj gtfg"},
	{"加大%s惠农补贴公开力度", "财政金融", "czj", ""},
	{"提高%s村级组织运转经费标准", "财政金融", "czj", "fgw"},
	{"规范%s政府采购信息公开", "财政金融", "czj", "fgw"},
}

// Numbers of motions of each body.
const (
	cppccMotions = 132
	npcMotions   = 84
)

// motions are the proposals of the county's CPPCC and the suggestions of
// deputies. Some rows are wrong; two of them are mended by the clerk.
func motions() []item {
	w := newWords(5)
	var out []item
	for n := range cppccMotions {
		out = append(out, item{dept: "zxta", body: motion(w, cppcc, n+1)})
	}
	for n := range npcMotions {
		out = append(out, item{dept: "rdb", body: motion(w, npc, n+1)})
	}
	wrong := func(dept, put string, n int, spoil, fix body) {
		b := motion(w, put, n)
		maps.Copy(b, spoil)
		if b["title"] == nil {
			delete(b, "title")
		}
		out = append(out, item{dept: dept, body: b, wrong: byAdapter, fix: fix})
	}
	wrong("zxta", cppcc, cppccMotions+1, body{"assigned_at": "2026-02-30"}, body{"assigned_at": "2026-02-27"})
	wrong("zxta", cppcc, cppccMotions+2, body{"status": "已转交"}, body{"status": "已审批"})
	wrong("zxta", cppcc, cppccMotions+3, body{"title": nil}, nil)
	wrong("rdb", npc, npcMotions+1, body{"kind": "群众来信"}, nil)
	return out
}

// motion is one motion of a body, handed to its units.
func motion(w words, put string, n int) body {
	s := pick(w, subjects)
	place := pick(w, placeWords)
	title := "关于" + fmt.Sprintf(s.title, place) + "的" + map[string]string{cppcc: "提案", npc: "建议"}[put]
	assigned := w.office(moments("2026-02-09"), w.between(0, 25))
	b := body{
		"body": put, "motion_no": fmt.Sprintf("2026-%03d", n), "term": map[string]string{cppcc: "十五届", npc: "十八届"}[put], "session": "五次会议", "meeting_flag": pick(w, []string{"会议", "会议", "会议", "平时"}),
		"kind": "代表建议", "title": title, "first_proposer": w.person(), "category": s.category, "filed_flag": true, "open_flag": w.chance(85), "contact": w.mobile(),
		"assigned_at": day(assigned), "reply_due": day(assigned.AddDate(0, 3, 0)), "lead_unit": departmentOf(s.lead).short, "status": "未办理",
		"content": motionText(w, place, s),
	}
	if put == cppcc {
		b["kind"] = pick(w, []string{"委员提案", "委员提案", "委员提案", "党派提案", "界别提案", "专委会提案"})
	}
	if s.joins != "" {
		var joins []any
		for _, j := range strings.Fields(s.joins) {
			joins = append(joins, departmentOf(j).short)
		}
		b["join_units"] = joins
	}
	if k := w.between(0, 5); k > 0 {
		var co []any
		for range k {
			co = append(co, w.person())
		}
		b["co_proposers"] = co
	}
	return b
}

func motionText(w words, place string, s subject) string {
	problems := []string{"设施建成年代较早,维护经费没有着落", "多头管理,职责边界不清,群众反映找不到人", "前期已列入计划,但进度慢于预期", "覆盖面不足,边远村社尤为突出", "日常监管力量薄弱,整治后容易反弹"}
	advice := []string{"由主办单位牵头建立联席会议制度,每季度通报进展", "列入年度民生实事,明确资金来源和完成时限", "依托全县数据共享平台,实现部门间信息即时互通", "引入第三方评估,结果向社会公开", "结合社区工作日集中走访,逐户建立台账"}
	return fmt.Sprintf("一、基本情况\n%s涉及居民约%d户,近三年相关来信来访%d件次。\n二、存在问题\n%s;%s。\n三、建议\n1.%s。\n2.%s。",
		place, w.between(120, 6800), w.between(6, 140), pick(w, problems), pick(w, problems), pick(w, advice), pick(w, advice))
}

// motionSteps are the stations of each motion until it was handed to its
// units. One has no name.
func motionSteps(all []item) []item {
	w := newWords(6)
	var out []item
	for _, it := range all {
		if it.dept != "zxta" || it.wrong != "" {
			continue
		}
		put := moments("2026-01-18")
		for i, name := range []string{"提出", "审查立案", "交办"} {
			b := body{"motion_key": keyOf("motions.motion", it.body), "step_no": i + 1, "name": name, "at": day(workdays(put, 4*i)), "by": []string{fmt.Sprint(it.body["first_proposer"]), "提案审查委员会", "县政府办公室"}[i]}
			if i == 1 {
				b["doc_no"] = fmt.Sprintf("政协提案〔2026〕%d号", w.between(1, 400))
			}
			out = append(out, item{dept: "zxta", body: b})
		}
	}
	bad := maps.Clone(out[7].body)
	bad["step_no"] = 9
	delete(bad, "name")
	return append(out, item{dept: "zxta", body: bad, wrong: byAdapter})
}

// reply is what dept answers to a motion that it received; nil where the motion
// is not its business. It depends on nothing but its arguments.
func reply(dept, key string, motion body) body {
	d := departmentOf(dept)
	role := ""
	joins, _ := motion["join_units"].([]any)
	switch {
	case motion["lead_unit"] == d.short && len(joins) == 0:
		role = "单办"
	case motion["lead_unit"] == d.short:
		role = "主办"
	case slices.Contains(joins, any(d.short)):
		role = "会办"
	default:
		return nil
	}
	w := newWords(fnv(dept + "|" + key))
	signed := w.office(assignedOn(motion), w.between(1, 3))
	replied := w.office(signed, w.between(15, 45))
	class := pick(w, []string{"A", "A", "B", "B", "B", "C", "D"})
	return body{
		"motion_key": key, "motion_title": motion["title"], "unit": unitCode(dept), "unit_name": d.name, "role": role, "sign_state": "已办复", "assigned_at": motion["assigned_at"],
		"signed_at": moment(signed), "contact_way": pick(w, []string{"面谈", "座谈会", "电话", "书信"}), "reply_no": fmt.Sprintf("开%s函〔2026〕%d号", strings.TrimPrefix(d.short, "县")[:3], w.between(1, 400)),
		"reply_text":   fmt.Sprintf("%s:您提出的“%s”收悉。%s。感谢您对我们工作的关心和支持。", motion["first_proposer"], motion["title"], replyTexts[class]),
		"result_class": class, "replied_at": moment(replied), "reply_due": motion["reply_due"],
	}
}

var replyTexts = map[string]string{
	"A": "经现场核查,所提问题已在本年度内整改到位,并纳入日常巡查",
	"B": "已列入本年度工作计划,资金和责任人均已落实,预计年底前完成",
	"C": "因涉及上级规划调整,暂不具备实施条件,待条件具备后优先安排",
	"D": "所提意见对改进工作很有价值,我们将在今后的政策制定中研究吸收",
}

// fnv is the 64-bit FNV-1a hash.
func fnv(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// assignedOn is the day a motion was handed to its units; a motion from
// elsewhere may not tell.
func assignedOn(motion body) time.Time {
	s, _ := motion["assigned_at"].(string)
	if t, err := time.ParseInLocation(time.DateOnly, s[:min(10, len(s))], zone); err == nil {
		return t
	}
	return moments("2026-03-02")
}
