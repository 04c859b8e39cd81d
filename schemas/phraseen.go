package schemas

import (
	"cmp"
	"strings"
)

var typesEn = map[string]string{"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object", "array": "a list", "null": "null"}

var fixedEn = map[string]phrase{
	"missing":        {"is required", "fill it in"},
	"not_allowed":    {"is not allowed here", "leave it out"},
	"repeated":       {"must not repeat an item", "remove what is there twice"},
	"no_variant":     {"fits none of the allowed forms", "compare it with the description of the resource"},
	"forbidden":      {"must not be filled in like this", "compare it with the description of the resource"},
	"bad_name":       {"has a name that is not allowed", "use one of the names laid down"},
	"too_deep":       {"is nested too deep or holds too much", "flatten it or split it into several records"},
	"bad_number":     {"is a number too long or with too large an exponent", "write the number in the usual way"},
	"broken_text":    {"holds broken characters (�)", "export it again with the right encoding"},
	"not_judged":     {"could not be checked", "look at the content and send it again; ask the administrator if it stays so"},
	"no_such_date":   {"is not a date that exists", "enter a real date, such as 2024-05-06"},
	"no_such_region": {"does not begin like any division code", "check the first two digits"},
}

func phraseEn(v Violation, near string) phrase {
	p := v.Params
	switch v.Code {
	case "unknown_member":
		if near != "" {
			return phrase{"is not a field of this resource", "call it “" + near + "”, or leave it out"}
		}
		return phrase{"is not a field of this resource", "leave it out, or use a field name of the resource"}
	case "wrong_type":
		return typePhraseEn(p)
	case "too_small", "too_large":
		if text := rangeEn(p); text != "" {
			return phrase{"must be " + text, "enter " + text}
		}
	case "not_multiple":
		return phrase{"must be a multiple of " + p["limit"], "enter a multiple of " + p["limit"]}
	case "not_in_list":
		return phrase{"must be one of " + listEn(p["allowed"]), "choose one of them"}
	case "unknown_code":
		return codePhraseEn(p)
	case "too_long":
		return phrase{"must have at most " + plural(p["limit"], "character"), "shorten it to " + plural(p["limit"], "character")}
	case "too_short":
		if p["limit"] == "1" {
			return phrase{"must not be empty", "fill it in"}
		}
		return phrase{"must have at least " + plural(p["limit"], "character"), "complete it"}
	case "too_many":
		return phrase{"must have at most " + plural(cmp.Or(p["limit"], "the laid down"), "item"), "remove some"}
	case "too_few":
		return phrase{"must have at least " + plural(cmp.Or(p["limit"], "1"), "item"), "add what is missing"}
	case faultForm, faultCheck:
		return formPhraseEn(v)
	}
	if fixed, ok := fixedEn[v.Code]; ok {
		return fixed
	}
	return phrase{"breaks a rule", "compare it with the description of the resource"}
}

func plural(n, noun string) string {
	if n == "1" {
		return n + " " + noun
	}
	return n + " " + noun + "s"
}

func listEn(list string) string { return strings.ReplaceAll(list, listSeparator, ", ") }

func typePhraseEn(p map[string]string) phrase {
	if text := rangeEn(p); text != "" && (p["types"] == "integer" || p["types"] == "number") {
		return phrase{"must be " + text, "enter " + text}
	}
	if p["types"] == "string" && p["table"] != "" {
		return codePhraseEn(p)
	}
	if f, ok := formats[p["format"]]; ok && p["types"] == "string" {
		return phrase{"must be " + f.en, strings.TrimSuffix("write it as text in quotes, like "+f.sample, ", like ")}
	}
	var names []string
	for t := range strings.SplitSeq(p["types"], listSeparator) {
		names = append(names, cmp.Or(typesEn[t], t))
	}
	list := strings.Join(names, " or ")
	return phrase{"must be " + list, "enter " + list}
}

// rangeEn describes the numbers between the schema's bounds, "" without bounds.
func rangeEn(p map[string]string) string {
	kind := "a number"
	if p["whole"] != "" {
		kind = "a whole number"
	}
	low, high := p["minimum"], p["maximum"]
	switch {
	case low != "" && high != "":
		return kind + " from " + low + " to " + high
	case high != "":
		return kind + " of at most " + high
	case low != "":
		return kind + " of at least " + low
	case p["exclusiveMinimum"] != "" && p["exclusiveMaximum"] != "":
		return kind + " above " + p["exclusiveMinimum"] + " and below " + p["exclusiveMaximum"]
	case p["exclusiveMaximum"] != "":
		return kind + " below " + p["exclusiveMaximum"]
	case p["exclusiveMinimum"] != "":
		return kind + " above " + p["exclusiveMinimum"]
	}
	return ""
}

func codePhraseEn(p map[string]string) phrase {
	t, ok := LookupCodeTable(p["table"])
	if !ok {
		return phrase{"must be a code of its table", "choose a code of the table"}
	}
	rule := "must be a code of the table “" + t.Title.En + "”"
	list := t.named(p["nearest"], func(c Code) string { return c.En }, ", ")
	if p["nearest"] != "" {
		return phrase{rule, "the nearest is " + list}
	}
	return phrase{rule, "choose one of " + list}
}

func formPhraseEn(v Violation) phrase {
	f, ok := formats[v.Params["format"]]
	if !ok {
		if e := v.Params["example"]; e != "" {
			return phrase{"has the wrong form, it should look like “" + e + "”", "follow the example"}
		}
		return phrase{"has the wrong form", "follow the form " + v.Params["pattern"]}
	}
	if v.Code == faultCheck {
		f = f.checked()
		return phrase{"must be " + f.en + ", but its check digit is wrong", "compare it digit by digit and enter it again"}
	}
	if f.sample == "" {
		return phrase{"must be " + f.en, "check it and enter it again"}
	}
	return phrase{"must be " + f.en, "write it like " + f.sample}
}
