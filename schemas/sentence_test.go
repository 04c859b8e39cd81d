package schemas

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/schemas/record"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// sentenceCases are bodies with one fault each, and where an adapter would say that it stood.
var sentenceCases = []struct {
	resource, body string
	place          *Place
	got            string
}{
	{"test.promise", `{"promised":"三十天"}`, &Place{Row: 12, Column: "C"}, "三十天"},
	{"test.promise", `{"promised":21}`, &Place{Row: 13, Column: "C"}, "21"},
	{"test.promise", `{"days":0}`, &Place{Row: 14, Column: "承诺天数"}, "0"},
	{"test.promise", `{"share":1.5}`, nil, "1.5"},
	{"test.promise", `{"step":7}`, nil, ""},
	{"test.promise", `{"word":"丙"}`, &Place{File: "事项.csv", Row: 3, Column: "D"}, "丙"},
	{"test.promise", `{"plate":"渝A1234"}`, &Place{Row: 5, Column: "E"}, "渝A1234"},
	{"test.promise", `{"free":"x"}`, nil, "x"},
	{"test.promise", `{"map":{"11010519491231002X":"x"}}`, nil, ""},
	{"test.promise", `{"pair":["甲"]}`, nil, ""},
	{"test.promise", `{"pair":["甲","甲"]}`, &Place{Cell: "B7"}, ""},
	{"test.promise", `{"pair":["甲","乙","丙"]}`, nil, ""},
	{"test.promise", `{"promised":1,"either":true}`, nil, "true"},
	{"test.promise", `{"mail":"office"}`, nil, "office"},
	{"test.promise", `{"mixed":[]}`, nil, ""},
	{"test.promise", `[]`, nil, ""},
	{"approvals.service_item", `{"task_name":"x","task_type":"01","dept_code":"a","region":"500154"}`, &Place{Row: 2}, ""},
	{"approvals.service_item", `{"task_code":"1","task_name":"","task_type":"01","dept_code":"a","region":"500154"}`, &Place{Row: 2, Column: "事项名称"}, ""},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"许可","dept_code":"a","region":"500154"}`, &Place{Row: 3, Column: "事项类型"}, "许可"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"99","dept_code":"a","region":"500154"}`, &Place{Row: 4, Column: "F"}, "99"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"91350100M000100Y44","region":"500154"}`, &Place{Row: 5, Column: "G"}, "91350100M000100Y44"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"区经信局","region":"500154"}`, &Place{Row: 6, Column: "G"}, "区经信局"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"990154"}`, &Place{Row: 7, Column: "D"}, "990154"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"50015"}`, &Place{Row: 8, Column: "D"}, "50015"},
	{"approvals.service_item", `{"task_code":"5000000000000000000000000000000000000000000000000000000000000000X","task_name":"x","task_type":"01","dept_code":"a","region":"500154"}`,
		&Place{Row: 9, Column: "E"}, "5000000000000000000000000000000000000000000000000000000000000000X"},
	{"approvals.service_item", `{"task_code":"1 2","task_name":"x","task_type":"01","dept_code":"a","region":"500154"}`, &Place{Row: 10, Column: "E"}, "1 2"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"500154","materials":[{"name":"申请表"},{"copies":1}]}`, nil, ""},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"500154","materials":[{"name":"申请表","copies":"一份"}]}`, nil, "一份"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"500154","promise_days":1}`, &Place{Row: 11, Column: "K"}, "1"},
	{"approvals.service_item", `{"task_code":"1","task_name":"x","task_type":"01","dept_code":"a","region":"500154","guide_url":"没有"}`, nil, "没有"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"办结"}`, &Place{Row: 2, Column: "H"}, "办结"},
	{"approvals.case", `{"case_no":"KZ1","task_name":"x","dept_code":"a","status":"受理"}`, &Place{Row: 3, Column: "A"}, "KZ1"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","applied_at":"2024年5月6日"}`, &Place{Row: 4, Column: "受理时间"}, "2024年5月6日"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","valid_to":"2024-02-30"}`, nil, "2024-02-30"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","amount":"11.5万元"}`, &Place{Row: 5, Column: "N"}, "11.5万元"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","amount":115000}`, &Place{Row: 6, Column: "N"}, "115000"},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","applicant_id_type":"111","applicant_id":"110105194912310021"}`, &Place{Row: 7, Column: "M"}, ""},
	{"approvals.case", `{"case_no":"KZ2024001","task_name":"x","dept_code":"a","status":"受理","agent":{"phone":"没有电话"}}`, &Place{Row: 8, Column: "P"}, "没有电话"},
	{"motions.motion", `{"body":"政协","motion_no":"1","title":"x","status":"已办理","co_proposers":"何建、向东"}`, &Place{Row: 2, Column: "联名人"}, "何建、向东"},
	{"motions.motion", `{"body":"政协","motion_no":"1","title":"x","status":"已办理","open_flag":"是"}`, &Place{Row: 3, Column: "是否公开"}, "是"},
}

const promiseSchema = `{"$schema":"` + dialect + `","title":"时限","x-title-en":"Time limits","type":"object","additionalProperties":false,"properties":{
	"promised":{"title":"承诺时限","x-title-en":"Promised days","type":"integer","maximum":20},
	"days":{"title":"天数","x-title-en":"Days","type":"integer","minimum":1,"maximum":20},
	"share":{"title":"占比","x-title-en":"Share","type":"number","exclusiveMinimum":0,"exclusiveMaximum":1},
	"step":{"title":"步长","x-title-en":"Step","type":"integer","multipleOf":5},
	"word":{"title":"选项","x-title-en":"Choice","enum":["甲","乙"]},
	"plate":{"title":"车牌","x-title-en":"Plate","type":"string","maxLength":10,"pattern":"^\\p{Han}[A-Z]·[0-9A-Z]{5,6}$","examples":["渝A·12345"]},
	"free":{"title":"编号","x-title-en":"Number","type":"string","maxLength":10,"pattern":"^[0-9]+$"},
	"map":{"title":"图","x-title-en":"Map","type":"object","additionalProperties":{"type":"integer"}},
	"pair":{"title":"一对","x-title-en":"Pair","type":"array","minItems":2,"maxItems":2,"uniqueItems":true,"items":{"type":"string","maxLength":5}},
	"either":{"title":"二选一","x-title-en":"Either","anyOf":[{"type":"string","maxLength":3},{"type":"integer"}]},
	"mail":{"title":"邮箱","x-title-en":"E-mail","type":"string","format":"email"},
	"mixed":{"title":"多种","x-title-en":"Mixed","type":["string","null"],"maxLength":4}}}`

// The form of refusal sentences is part of the contract (CONTRACT §1).
func TestSentences(t *testing.T) {
	var b strings.Builder
	for _, tt := range sentenceCases {
		s := compiled(t, []byte(promiseSchema))
		if tt.resource != "test.promise" {
			s = embedded(t, tt.resource)
		}
		_, value, err := record.Decode([]byte(tt.body), record.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		v := s.Validate(value)
		if len(v.Violations) != 1 {
			t.Fatalf("%s: %v, want one violation", tt.body, brief(v.Violations))
		}
		zh, en := s.Sentence(v.Violations[0], Chinese, tt.place, tt.got), s.Sentence(v.Violations[0], English, tt.place, tt.got)
		for _, text := range []string{zh, en} {
			if strings.Contains(text, v.Violations[0].Pointer) && v.Violations[0].Pointer != "" {
				t.Errorf("a sentence shows a pointer: %s", text)
			}
		}
		fmt.Fprintf(&b, "%s\n%s\n\n", zh, en)
	}
	if len(sentenceCases) != 40 {
		t.Errorf("%d sentences, want 40", len(sentenceCases))
	}
	golden(t, "sentences.txt", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestSentenceHidesAndTrims(t *testing.T) {
	s := compiled(t, []byte(promiseSchema))
	v := s.Validate(map[string]any{"mail": "x"}).Violations[0]
	if text := s.Sentence(v, Chinese, nil, ""); strings.Contains(text, "实为") {
		t.Errorf("something stood there though nothing was given: %s", text)
	}
	long := s.Sentence(v, Chinese, nil, strings.Repeat("长", 500)+"\n\x00")
	if len([]rune(long)) > 200 || strings.ContainsAny(long, "\n\x00") {
		t.Errorf("a long value was not cut: %s", long)
	}
	missing := Violation{Pointer: "/mail", Keyword: "required", Code: "missing"}
	if text := s.Sentence(missing, Chinese, &Place{Row: 2}, "暂无"); text != "第2行“邮箱”:必填,实为“暂无”。改法:补填这一项" {
		t.Errorf("what the source had instead of a value: %s", text)
	}
	var none *Schema
	if text := none.Sentence(Violation{Pointer: "/a/0/b", Code: "missing"}, English, nil, ""); text != "“a” item 1 “b”: is required. Remedy: fill it in" {
		t.Errorf("without a schema: %s", text)
	}
}
