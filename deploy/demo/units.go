package main

import "fmt"

// unitCode is the code by which a department stands in records.
func unitCode(dept string) string { return unitCodes[dept] }

// unitCodes are credit codes of organs of the state, one for each department.
var unitCodes = func() map[string]string {
	w := newWords(1)
	out := map[string]string{}
	for _, d := range departments {
		out[d.code] = w.uscc("11")
	}
	return out
}()

var townWords = []string{"双河口", "竹坪", "柏林", "铜鼓", "麻柳", "长滩", "紫金", "青龙", "大坝", "三汇", "凤山", "黄泥", "古井", "柳池", "狮子岩", "马家坝", "金竹", "桃源", "花桥"}

// units is the county's register of units: departments, towns and a few
// institutions.
func units() []item {
	w := newWords(2)
	var out []item
	add := func(code, name, short, kind, level, at, duties string) {
		out = append(out, item{dept: "egov", body: body{
			"unit_code": code, "uscc": code, "name": name, "short_name": short, "kind": kind, "level": level, "region": at,
			"duties": duties, "address": w.address(), "hours": "工作日 9:00—12:00,14:00—18:00", "phone": fmt.Sprintf("023-5200%04d", w.r.IntN(10000)),
			"head": w.person(), "valid_from": day(workdays(moments("2015-01-05"), w.r.IntN(900))),
		}})
	}
	for _, d := range departments {
		add(unitCode(d.code), d.name, d.short, d.kind, d.level, d.region, d.duties)
	}
	for i, t := range townWords {
		add(w.uscc("11"), "开州区"+t+"镇人民政府", t+"镇", "government", "town", fmt.Sprintf("%s%03d", region, 120+i), "本镇经济社会发展、社会治理和便民服务")
	}
	for _, name := range []string{"行政服务中心", "公共资源交易中心", "不动产登记中心"} {
		add(w.uscc("12"), "开州区"+name, name, "institution", "county", region, "集中办理相关事项的窗口服务")
	}
	// Wrong on purpose: typed by hand, sent without an adapter, found by the bus.
	for i, name := range []string{"开州区城市管理服务站", "开州区村镇供水总站"} {
		add(w.wrongUSCC(), name, name, "institution", "county", region, "城乡公共服务")
		bad := &out[len(out)-1]
		bad.wrong, bad.body["unit_code"] = byBus, fmt.Sprintf("KZ-%04d", i+1)
	}
	return out
}
