package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// motionColumns is the spreadsheet of motions.
var motionColumns = []column{{"案号", "motion_no"}, {"提出机构", "body"}, {"届", "term"}, {"会次", "session"}, {"提出时间", "meeting_flag"}, {"类型", "kind"}, {"案由", "title"}, {"正文", "content"}, {"第一提案人", "first_proposer"}, {"联名人", "co_proposers"},
	{"联系电话", "contact"}, {"分类", "category"}, {"是否立案", "filed_flag"}, {"是否公开", "open_flag"}, {"交办日期", "assigned_at"}, {"应办复日期", "reply_due"}, {"主办单位", "lead_unit"}, {"会办单位", "join_units"}, {"状态", "status"}}

var stepColumns = []column{{"序号", "step_no"}, {"环节", "name"}, {"时间", "at"}, {"文号", "doc_no"}, {"办理人", "by"}}

var replyColumns = []column{{"提案主键", "motion_key"}, {"案由", "motion_title"}, {"单位编码", "unit"}, {"单位", "unit_name"}, {"承办类型", "role"}, {"签收状态", "sign_state"}, {"交办日期", "assigned_at"}, {"签收时间", "signed_at"}, {"沟通方式", "contact_way"},
	{"办复文号", "reply_no"}, {"办复内容", "reply_text"}, {"办理结果", "result_class"}, {"办复时间", "replied_at"}, {"应办复日期", "reply_due"}}

var projectColumns = []column{{"项目代码", "project_code"}, {"项目名称", "project_name"}, {"建设单位", "owner"}, {"信用代码", "uscc"}, {"主管部门", "dept_code"}, {"行业", "sector"}, {"建设地点", "location"}, {"建设目的", "purpose"}, {"阶段", "status"}, {"总投资(万元)", "total_investment"},
	{"计划开工", "planned_start"}, {"计划竣工", "planned_end"}, {"实际开工", "actual_start"}, {"实际竣工", "actual_end"}, {"施工单位", "contractor"}, {"监理单位", "supervisor"}, {"形象进度", "progress"}}

var disclosureColumns = []column{{"项目代码", "project_code"}, {"项目名称", "project_name"}, {"公开阶段", "stage"}, {"公开内容", "item"}, {"标题", "title"}, {"正文", "content"}, {"文号", "doc_no"}, {"金额", "amount"}, {"币种", "currency"}, {"相对方", "counterparty"},
	{"相对方信用代码", "counterparty_uscc"}, {"发生日期", "occurred_on"}, {"公开日期", "disclosed_on"}, {"应公开日期", "due_on"}, {"佐证材料摘要", "evidence_sha256"}}

// days are members that clerks write as 2026年3月5日.
var days = map[string]bool{"planned_start": true, "planned_end": true, "actual_start": true, "actual_end": true, "occurred_on": true, "disclosed_on": true, "due_on": true}

// motionCell is a member of a motion as it stands in the spreadsheet.
func motionCell(member string, v any) string {
	switch member {
	case "filed_flag":
		return map[any]string{true: "已立案", false: "未立案"}[v]
	case "open_flag":
		return map[any]string{true: "是", false: "否"}[v]
	case "assigned_at", "reply_due":
		return chinese(v)
	}
	if list, ok := v.([]any); ok {
		return joined(list)
	}
	return fmt.Sprint(orEmpty(v))
}

// motionsCSV is a spreadsheet of motions saved as CSV, in GB18030 as most
// offices do, or in UTF-8.
func motionsCSV(items []item, gb18030 bool) ([]byte, error) {
	rows := [][]string{{}}
	for _, c := range motionColumns {
		rows[0] = append(rows[0], c.name)
	}
	for _, it := range items {
		var row []string
		for _, c := range motionColumns {
			row = append(row, motionCell(c.member, it.body[c.member]))
		}
		rows = append(rows, row)
	}
	return encodeCSV(rows, gb18030)
}

func encodeCSV(rows [][]string, gb18030 bool) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	if err := w.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("write CSV: %w", err)
	}
	if !gb18030 {
		return append([]byte("\xef\xbb\xbf"), out.Bytes()...), nil
	}
	raw, err := simplifiedchinese.GB18030.NewEncoder().Bytes(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("write CSV in GB18030: %w", err)
	}
	return raw, nil
}

// mendCSV does what a clerk does with an annotated error file in GB18030: in the
// rows that have a correction it types the right value, rows without one it
// takes out, and the added columns it leaves alone.
func mendCSV(raw []byte, corrections []item) (mended []byte, rows int, err error) {
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(raw)
	if err != nil {
		return nil, 0, fmt.Errorf("read error file: %w", err)
	}
	r := csv.NewReader(bytes.NewReader(text))
	all, err := r.ReadAll()
	if err != nil || len(all) == 0 {
		return nil, 0, fmt.Errorf("read error file of %d rows: %w", len(all), err)
	}
	place := map[string]int{}
	for i, name := range all[0] {
		place[name] = i
	}
	right := map[string]item{}
	for _, it := range corrections {
		right[fmt.Sprint(it.body["motion_no"])] = it
	}
	keep := all[:1]
	for _, row := range all[1:] {
		it, ok := right[row[place["案号"]]]
		if !ok {
			continue
		}
		for _, c := range motionColumns {
			row[place[c.name]] = motionCell(c.member, it.body[c.member])
		}
		keep = append(keep, row)
	}
	mended, err = encodeCSV(keep, true)
	return mended, len(keep) - 1, err
}

// member is one member of an exported object.
type member struct {
	name  string
	value any
}

// objectLine writes members in their order; absent ones are left out.
func objectLine(members []member) []byte {
	out := []byte{'{'}
	for _, m := range members {
		if m.value == nil {
			continue
		}
		name, nerr := json.Marshal(m.name)
		value, verr := json.Marshal(m.value)
		if nerr != nil || verr != nil {
			panic(fmt.Sprint(nerr, verr)) // texts, numbers and lists of them
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}')
}

// row makes the members of a record's row.
func row(columns []column, b body, cell func(member string, v any) any) []member {
	var out []member
	for _, c := range columns {
		out = append(out, member{c.name, cell(c.member, b[c.member])})
	}
	return out
}

func asIs(_ string, v any) any { return v }

func withDays(name string, v any) any {
	if v != nil && days[name] {
		return chinese(v)
	}
	return v
}

// projectCell is a member of a project in the register: names for codes, money
// in 万元.
func projectCell(name string, v any) any {
	switch name {
	case "sector":
		return sectorNames[fmt.Sprint(v)]
	case "status":
		return statusNames[fmt.Sprint(v)]
	case "total_investment":
		if yuan, err := strconv.Atoi(fmt.Sprint(v)); err == nil {
			return yuan / 10_000
		}
	}
	return withDays(name, v)
}

// projectsJSON is the register's export: one array.
func projectsJSON(items []item) []byte {
	var lines []string
	for _, it := range items {
		lines = append(lines, string(objectLine(row(projectColumns, it.body, projectCell))))
	}
	return []byte("[\n" + strings.Join(lines, ",\n") + "\n]\n")
}

// lines is an export with one object a line.
func lines(items []item, columns []column, cell func(string, any) any) []byte {
	var out bytes.Buffer
	for _, it := range items {
		out.Write(append(objectLine(row(columns, it.body, cell)), '\n'))
	}
	return out.Bytes()
}

// stepsNDJSON has one line for each motion, its stations in an array.
func stepsNDJSON(items []item) []byte {
	var order []string
	stations := map[string][]json.RawMessage{}
	for _, it := range items {
		key := fmt.Sprint(it.body["motion_key"])
		if stations[key] == nil {
			order = append(order, key)
		}
		stations[key] = append(stations[key], objectLine(row(stepColumns, it.body, func(name string, v any) any {
			if name == "at" && v != nil {
				return chinese(v)
			}
			return v
		})))
	}
	var out bytes.Buffer
	for _, key := range order {
		put, no, _ := strings.Cut(key, "|")
		out.Write(append(objectLine([]member{{"案号", no}, {"提出机构", put}, {"过程", stations[key]}}), '\n'))
	}
	return out.Bytes()
}

// drop puts a file into a drop folder: written beside it, then renamed, so that
// nobody reads half of it.
func drop(dir, name string, raw []byte) error {
	in := filepath.Join(dir, "in")
	if err := os.MkdirAll(in, 0o755); err != nil {
		return fmt.Errorf("make drop folder: %w", err)
	}
	return replaceFile(filepath.Join(in, name), raw, 0o644)
}
