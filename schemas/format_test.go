package schemas

import (
	"strings"
	"testing"
)

func TestCheckFormat(t *testing.T) {
	tests := []struct {
		format, value, want string
	}{
		{"date", "2024-02-29", ""},
		{"date", "2023-02-29", faultDate},
		{"date", "1900-02-29", faultDate},
		{"date", "2000-02-29", ""},
		{"date", "2024-13-01", faultDate},
		{"date", "2024-1-1", faultForm},
		{"date", "民國89年6月21日", faultForm},
		{"date-time", "2024-05-06T09:30:00+08:00", ""},
		{"date-time", "2024-05-06T09:30:00.123456789Z", ""},
		{"date-time", "2024-05-06T09:30:00", faultForm},
		{"date-time", "2024-05-06 09:30:00Z", faultForm},
		{"date-time", "2024-05-06T24:00:00Z", faultForm},
		{"date-time", "2024-05-06T09:30:60Z", faultForm},
		{"date-time", "2024-05-06T09:30:00.Z", faultForm},
		{"date-time", "2024-05-06T09:30:00+24:00", faultForm},
		{"date-time", "2024-02-30T09:30:00Z", faultDate},
		{"time", "09:30:00Z", ""},
		{"time", "9:30", faultForm},
		{"moment", "2024-05-06", ""},
		{"moment", "2024-05-06T09:30:00Z", ""},
		{"moment", "2024-05", faultForm},
		{"uuid", "0190F3C2-8a51-7cc2-9d35-2b4f6f1f7f10", ""},
		{"uuid", "0190f3c28a517cc29d352b4f6f1f7f10", faultForm},
		{"uuid", "0190f3c2-8a51-7cc2-9d35-2b4f6f1f7g10", faultForm},
		{"uri", "https://www.example.gov.cn/a?b=1#c", ""},
		{"uri", "urn:hutong:x", ""},
		{"uri", "http://例子.cn/办件", ""},
		{"uri", "/a/b", faultForm},
		{"uri", "http:///a", faultForm},
		{"uri", "http://a b", faultForm},
		{"uri-reference", "/a/b", ""},
		{"uri-reference", "a<b", faultForm},
		{"email", "office@example.gov.cn", ""},
		{"email", "office@", faultForm},
		{"email", "a b@c.cn", faultForm},
		{"ipv4", "192.0.2.1", ""},
		{"ipv4", "192.0.2.256", faultForm},
		{"ipv6", "2001:db8::1", ""},
		{"ipv6", "192.0.2.1", faultForm},
		{"uscc", "91350100M000100Y43", ""}, // the example of GB 32100-2015
		{"uscc", "91350100m000100y43", ""},
		{"uscc", " 91350100M000100Y43 ", ""},
		{"uscc", "91350100M000100Y44", faultCheck},
		{"uscc", "91350100M000100O43", faultForm},
		{"uscc", "91350100M000100Y4", faultForm},
		{"org_code", "D2143569-X", ""}, // the example of GB 11714-1997
		{"org_code", "D2143569X", ""},
		{"org_code", "D21435691", faultCheck},
		{"org_code", "D214356", faultForm},
		{"unit_code", "68236467-9", ""},
		{"unit_code", "1151130108778239R_6918", ""},
		{"unit_code", "91350100M000100Y44", faultCheck},
		{"unit_code", "发改委", faultForm},
		{"unit_code", "", faultForm},
		{"id_number", "11010519491231002X", ""}, // the example of GB 11643-1999
		{"id_number", "11010519491231002x", ""},
		{"id_number", "110105194912310021", faultCheck},
		{"id_number", "11010519490231002X", faultDate},
		{"id_number", "99010519491231002X", faultRegion},
		{"id_number", "110105491231002", faultForm},
		{"id_number", "110105************", faultForm},
		{"masked_id", "330222************", ""},
		{"masked_id", "11010519491231002X", faultForm},
		{"masked_id", "110***********002X", ""},
		{"person_id", "330222************", ""},
		{"person_id", "110105194912310021", faultCheck},
		{"region", "511602000000", ""},
		{"region", "500154103", ""},
		{"region", "500154", ""},
		{"region", "5001541", faultForm},
		{"region", "000000", faultRegion},
		{"region", "99016000", faultForm},
		{"money", "0", ""},
		{"money", "-1234.5", ""},
		{"money", "115000", ""},
		{"money", "1,000", faultForm},
		{"money", "01", faultForm},
		{"money", "1.234", faultForm},
		{"money", "1.", faultForm},
		{"money", "1e3", faultForm},
		{"decimal", "-87.76988", ""},
		{"decimal", ".5", faultForm},
		{"phone", "023-52012345", ""},
		{"phone", "(023)5201 2345转8", ""},
		{"phone", "没有", faultForm},
		{"sha256", strings.Repeat("a", 64), ""},
		{"sha256", strings.Repeat("A", 64), faultForm},
		{"doc_no", "开州府发〔2024〕12号", ""},
		{"doc_no", "国令第711号", ""},
		{"doc_no", "无", faultForm},
		{"no-such-format", "anything", ""},
	}
	for _, tt := range tests {
		if got := CheckFormat(tt.format, tt.value); got != tt.want {
			t.Errorf("CheckFormat(%q, %q) = %q, want %q", tt.format, tt.value, got, tt.want)
		}
	}
}

// Every format has an end, and the sample its remedy shows fits it.
func TestFormatsBounded(t *testing.T) {
	for _, name := range Formats() {
		f := formats[name]
		if f.zh == "" || f.en == "" || f.bound == 0 {
			t.Errorf("%s has no words or no bound", name)
		}
		if f.sample != "" && CheckFormat(name, f.sample) != "" {
			t.Errorf("%s: the sample %q does not fit", name, f.sample)
		}
		for _, c := range []string{"1", "a", "*", "号", "1号", "a@b.c"} {
			if CheckFormat(name, strings.Repeat(c, f.bound+1)) == "" {
				t.Errorf("%s has no end", name)
			}
		}
	}
}

func TestCodeTables(t *testing.T) {
	for _, name := range CodeTables() {
		table, ok := LookupCodeTable(name)
		if !ok || table.Title.Zh == "" || table.Title.En == "" {
			t.Errorf("%s has no title", name)
			continue
		}
		for _, c := range table.Codes {
			if c.Zh == "" || c.En == "" {
				t.Errorf("%s %s has no name", name, c.Code)
			}
			for _, text := range append([]string{c.Code, c.Zh, c.En}, c.Aliases...) {
				if got, ok := table.Translate(text); !ok || got != c.Code {
					t.Errorf("%s: %q means %q, want %q", name, text, got, c.Code)
				}
			}
		}
	}
	if _, ok := LookupCodeTable("nothing"); ok {
		t.Error("a table that does not exist was found")
	}
	table, _ := LookupCodeTable("case_status")
	near := table.Nearest("办结", 3)
	if len(near) < 2 || near[0].Code != "办结准予" || near[1].Code != "办结不予" {
		t.Errorf("nearest to 办结: %v", near)
	}
	if near := table.Nearest("xyz", 3); len(near) != 0 {
		t.Errorf("nearest to xyz: %v", near)
	}
	if _, ok := table.Translate("不存在"); ok {
		t.Error("an unknown text was translated")
	}
}
