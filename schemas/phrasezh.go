package schemas

import (
	"cmp"
	"strings"
)

// A phrase is the middle of a sentence: the rule that was broken, and what to do.
type phrase struct{ rule, fix string }

var typesZh = map[string]string{"string": "文字", "integer": "整数", "number": "数字", "boolean": "是或否(true 或 false)", "object": "一组字段", "array": "列表", "null": "空值"}

// fixed phrases need nothing of the schema.
var fixedZh = map[string]phrase{
	"missing":        {"必填", "补填这一项"},
	"not_allowed":    {"此处不允许填写", "删去这一项"},
	"repeated":       {"各项不得重复", "删去重复的项"},
	"no_variant":     {"不符合任何一种允许的写法", "对照资源说明重填"},
	"forbidden":      {"不允许这样填写", "对照资源说明重填"},
	"bad_name":       {"名称不合规定", "改用规定的名称"},
	"too_deep":       {"层数过深或内容过多", "减少层数或拆成几条记录"},
	"bad_number":     {"数字过长或指数过大", "填普通写法的数字"},
	"broken_text":    {"含有乱码字符(�)", "用正确的编码重新导出后再报送"},
	"not_judged":     {"无法校验", "检查内容后重新报送,仍不成功请联系管理员"},
	"no_such_date":   {"日期不存在", "填真实存在的日期,如2024-05-06"},
	"no_such_region": {"没有这样开头的行政区划代码", "核对前两位的省级代码"},
}

func phraseZh(v Violation, near string) phrase {
	p := v.Params
	switch v.Code {
	case "unknown_member":
		if near != "" {
			return phrase{"不是本资源的字段", "改为“" + near + "”,或删去这一项"}
		}
		return phrase{"不是本资源的字段", "删去这一项,或改用资源说明中的字段名"}
	case "wrong_type":
		return typePhraseZh(p)
	case "too_small", "too_large":
		if text := rangeZh(p); text != "" {
			return phrase{"应为" + text, "填" + rangeFixZh(p)}
		}
	case "not_multiple":
		return phrase{"应为" + p["limit"] + "的整倍数", "按" + p["limit"] + "的整倍数填写"}
	case "not_in_list":
		return phrase{"应为下列之一:" + p["allowed"], "改填其中之一"}
	case "unknown_code":
		return codePhraseZh(p)
	case "too_long":
		return phrase{"应不超过" + p["limit"] + "个字", "缩短到" + p["limit"] + "个字以内"}
	case "too_short":
		if p["limit"] == "1" {
			return phrase{"不能为空", "补填这一项"}
		}
		return phrase{"应不少于" + p["limit"] + "个字", "补足到" + p["limit"] + "个字"}
	case "too_many":
		return phrase{"应不超过" + cmp.Or(p["limit"], "规定的") + "项", "减少项数"}
	case "too_few":
		return phrase{"应不少于" + cmp.Or(p["limit"], "1") + "项", "补足项数"}
	case faultForm, faultCheck:
		return formPhraseZh(v)
	}
	if fixed, ok := fixedZh[v.Code]; ok {
		return fixed
	}
	return phrase{"不合规定", "对照资源说明重填"}
}

func typePhraseZh(p map[string]string) phrase {
	if text := rangeZh(p); text != "" && (p["types"] == "integer" || p["types"] == "number") {
		return phrase{"应为" + text, "填" + rangeFixZh(p)}
	}
	if p["types"] == "string" && p["table"] != "" {
		return codePhraseZh(p)
	}
	if f, ok := formats[p["format"]]; ok && p["types"] == "string" {
		return phrase{"应为" + f.zh, strings.TrimSuffix("填文字(加引号),如"+f.sample, ",如")}
	}
	var names []string
	for t := range strings.SplitSeq(p["types"], listSeparator) {
		names = append(names, cmp.Or(typesZh[t], t))
	}
	list := strings.Join(names, "或")
	return phrase{"应为" + list, "改填" + list}
}

// rangeZh describes the numbers between the schema's bounds, "" without bounds.
func rangeZh(p map[string]string) string {
	kind := "数字"
	if p["whole"] != "" {
		kind = "整数"
	}
	low, high := p["minimum"], p["maximum"]
	switch {
	case low != "" && high != "":
		return low + "至" + high + "的" + kind
	case high != "":
		return "不超过" + high + "的" + kind
	case low != "":
		return "不小于" + low + "的" + kind
	case p["exclusiveMinimum"] != "" && p["exclusiveMaximum"] != "":
		return "大于" + p["exclusiveMinimum"] + "、小于" + p["exclusiveMaximum"] + "的" + kind
	case p["exclusiveMaximum"] != "":
		return "小于" + p["exclusiveMaximum"] + "的" + kind
	case p["exclusiveMinimum"] != "":
		return "大于" + p["exclusiveMinimum"] + "的" + kind
	}
	return ""
}

func rangeFixZh(p map[string]string) string {
	if p["minimum"] == "" && p["maximum"] != "" {
		return p["maximum"] + "以内的数字"
	}
	text := rangeZh(p)
	return strings.TrimSuffix(strings.TrimSuffix(text, "整数"), "数字") + "数字"
}

func codePhraseZh(p map[string]string) phrase {
	t, ok := LookupCodeTable(p["table"])
	if !ok {
		return phrase{"应为代码表中的代码", "改填表中的代码"}
	}
	rule := "应为代码表“" + t.Title.Zh + "”中的代码"
	list := t.named(p["nearest"], func(c Code) string { return c.Zh }, "、")
	if p["nearest"] != "" {
		return phrase{rule, "改填最接近的代码:" + list}
	}
	return phrase{rule, "改填其中之一:" + list}
}

// named lists codes with their names: those in list, or with no list the first eight of the table.
func (t *CodeTable) named(list string, name func(Code) string, separator string) string {
	var out []string
	if list == "" {
		for _, c := range t.Codes[:min(len(t.Codes), 8)] {
			out = append(out, codeWithName(c.Code, name(c), separator))
		}
		if len(t.Codes) > 8 {
			out = append(out, "…")
		}
		return strings.Join(out, separator)
	}
	for code := range strings.SplitSeq(list, listSeparator) {
		if c, ok := t.Code(code); ok {
			out = append(out, codeWithName(c.Code, name(c), separator))
		}
	}
	return strings.Join(out, separator)
}

func codeWithName(code, name, separator string) string {
	if code == name || name == "" {
		return code
	}
	if separator == ", " {
		return code + " (" + name + ")"
	}
	return code + "(" + name + ")"
}

func formPhraseZh(v Violation) phrase {
	f, ok := formats[v.Params["format"]]
	if !ok {
		if e := v.Params["example"]; e != "" {
			return phrase{"格式不对,应如“" + e + "”", "照例填写"}
		}
		return phrase{"格式不对", "按规定的格式填写:" + v.Params["pattern"]}
	}
	if v.Code == faultCheck {
		f = f.checked()
		return phrase{"应为" + f.zh + ",校验位不对", "逐位核对后重填"}
	}
	if f.sample == "" {
		return phrase{"应为" + f.zh, "核对后重填"}
	}
	return phrase{"应为" + f.zh, "照此格式填写:" + f.sample}
}
