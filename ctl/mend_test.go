package ctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/api"
)

func TestPlaceBeforeSecret(t *testing.T) {
	tests := []struct {
		name, args string
		file       string // made before
		want       string // in the message
	}{
		{"secret, no folder", "credential issue fgw.sys --secret-file @none/k", "", "写不了文件"},
		{"secret, file exists", "credential issue fgw.sys --secret-file @old", "old", "已存在"},
		{"bundle, no folder", "cluster member-add n3 127.0.0.1:1 -o @none/b", "", "写不了文件"},
		{"bundle, file exists", "cluster member-add n3 127.0.0.1:1 -o @old", "old", "已存在"},
		{"evidence, no folder", "audit evidence a.b k -o @none/e", "", "写不了文件"},
		{"trust, no folder", "audit trust -o @none/t", "", "写不了文件"},
	}
	for _, tt := range tests {
		for _, more := range []string{"", " --dry-run"} {
			t.Run(tt.name+more, func(t *testing.T) {
				b := newBench(t)
				if tt.file != "" {
					b.write(tt.file, "kept")
				}
				_, errs, code := b.run(strings.Fields(tt.args + more)...)
				if code != api.ExitRefused || len(b.asked) > 0 {
					t.Errorf("exit %d, asked %v", code, b.asked)
				}
				if more == "" && !strings.Contains(errs, tt.want) {
					t.Errorf("says %q, want %q", errs, tt.want)
				}
				if tt.file != "" && b.read(tt.file) != "kept" {
					t.Error("the file was written over")
				}
			})
		}
	}
}

func TestSecretFile(t *testing.T) {
	b := newBench(t)
	out, errs, code := b.run("credential", "issue", "fgw.sys", "--secret-file", "@k")
	if code != 0 || b.read("k") != "hk_secret\n" || strings.Contains(out, "hk_secret") {
		t.Errorf("exit %d, %s%s, file %q", code, out, errs, b.read("k"))
	}
	if info, err := os.Stat(filepath.Join(b.dir, "k")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRefusalLeavesFiles(t *testing.T) {
	b := newBench(t)
	b.failing, b.missing = true, true
	b.write("old", "kept")
	for _, args := range []string{"credential issue fgw.sys --secret-file @new", "cluster member-add n3 127.0.0.1:1 -o @new", "audit evidence a.b k -o @new", "audit evidence a.b k -o @old", "audit trust -o @old"} {
		if _, errs, code := b.run(strings.Fields(args)...); code != api.ExitRefused {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
		if _, ok := b.files()["new"]; ok || b.read("old") != "kept" {
			t.Errorf("%s changed a file", args)
		}
	}
}

func TestEvidenceOverwrites(t *testing.T) {
	b := newBench(t)
	b.write("old", "longer than what comes")
	if _, errs, code := b.run("audit", "evidence", "a.b", "k", "-o", "@old"); code != 0 || b.read("old") != "{}" {
		t.Errorf("exit %d %s, file %q", code, errs, b.read("old"))
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args string
		zh   string // "" where help is not wanted in Chinese
		en   string
	}{
		{"schema lint X", `用法:hutongctl schema lint -f FILE;不要参数,多了 "X"`, `usage: hutongctl schema lint -f FILE; it takes no argument, and there is "X"`},
		{"grant show", "缺少 GRANT", "GRANT is missing"},
		{"grant show a b", `多了 "b"`, `there is one too many: "b"`},
		{"cluster transfer a b", `多了 "b"`, `there is one too many: "b"`},
		{"nosuch", `hutongctl 没有 "nosuch"`, `hutongctl has no "nosuch"`},
		{"nosuch -f x", "选项有误", "unknown shorthand flag"},
		{"grant nosuch", `hutongctl grant 没有 "nosuch"`, `hutongctl grant has no "nosuch"`},
		{"help nosuch", `没有命令 "nosuch"`, `no command "nosuch"`},
		{"help grant nosuch", `没有命令 "grant nosuch"`, `no command "grant nosuch"`},
		{"completion nosuch", `没有 "nosuch"`, `has no "nosuch"`},
		{"completion bash x", "用法:", "usage: "},
		{"version --nosuch", "选项有误", "unknown flag: --nosuch"},
		{"version -o yaml", "-o 只能是 table 或 json", "-o is table or json"},
		{"cluster member-add n3 127.0.0.1:1", "请用 -o 指定", "name the bundle file with -o"},
		{"record publish a.b -f @none", "读不到文件", "cannot read the file"},
		{"department list --context nosuch", `没有上下文 "nosuch"`, `no context "nosuch"`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			b := newBench(t)
			_, errs, code := b.run(strings.Fields(tt.args)...)
			if code != api.ExitRefused || !strings.Contains(errs, tt.zh) || !strings.Contains(errs, tt.en) {
				t.Errorf("exit %d: %s", code, errs)
			}
			_, errs, code = b.run(append([]string{"--lang", "en"}, strings.Fields(tt.args)...)...)
			if code != api.ExitRefused || strings.Contains(errs, "用法") || !strings.Contains(errs, tt.en) {
				t.Errorf("in English, exit %d: %s", code, errs)
			}
		})
	}
	for _, lang := range []string{"fr", "", "EN"} {
		if _, errs, code := newBench(t).run("version", "--lang", lang); code != api.ExitRefused || !strings.Contains(errs, "--lang") {
			t.Errorf("--lang %q: exit %d: %s", lang, code, errs)
		}
	}
	out, _, code := newBench(t).run("cluster", "member-add", "--help")
	if code != 0 || !strings.Contains(out, "-o BUNDLE") {
		t.Errorf("help of member-add: exit %d: %s", code, out)
	}
}

func TestLint(t *testing.T) {
	b := newBench(t)
	b.write("bad.json", `{"type":"string"}`)
	out, _, code := b.run("schema", "lint", "-f", "@bad.json", "-o", "json")
	var answer struct {
		Valid    bool
		Findings []struct{ Rule string }
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || code != api.ExitRefused || answer.Valid || len(answer.Findings) == 0 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if out, errs, code := b.run("schema", "lint", "-f", "@bad.json"); code != api.ExitRefused || !strings.Contains(errs, "schema_refused") || strings.Contains(errs, "/title") {
		t.Errorf("exit %d: %q %q", code, out, errs)
	}
	// Advice is no refusal.
	if out, errs, code := b.run("schema", "lint", "-f", "@schema.json"); code != 0 || !strings.Contains(out, "建议 / advice: /title") {
		t.Errorf("exit %d: %q %q", code, out, errs)
	}
}

func TestVerifyExitCodes(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string
	}{
		{"@bad.hev --trust @trust", api.ExitRefused, "证据无效"},
		{"@bad.hev --trust @none", api.ExitInternal, "信任文件读不到,证据未作判断"},
		{"@bad.hev --trust @bad.hev", api.ExitInternal, "不能用,证据未作判断"},
		{"@none --trust @trust", api.ExitInternal, "证据文件读不到,证据未作判断"},
		{"@bad.hev", api.ExitInternal, "--trust"},
		{"--trust @trust", api.ExitInternal, "缺少 FILE"},
		{"@bad.hev --trsut @trust", api.ExitInternal, "选项有误"},
		{"@bad.hev --trust @trust --lang fr", api.ExitInternal, "--lang"},
		{"@bad.hev --trust @crlf", api.ExitRefused, "证据无效"},
		{"@bad.hev --trust @cut", api.ExitInternal, "不能用"},
	}
	b := newBench(t)
	b.write("crlf", "\xef\xbb\xbf"+strings.ReplaceAll(b.read("trust"), "\n", "\r\n"))
	b.write("cut", strings.TrimSuffix(b.read("trust"), "\n"))
	for _, tt := range tests {
		if _, errs, code := b.run(append([]string{"audit", "verify"}, strings.Fields(tt.args)...)...); code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit %d, want %d: %s", tt.args, code, tt.code, errs)
		}
	}
}

func TestContextFiles(t *testing.T) {
	b := newBench(t)
	outside := t.TempDir()
	for _, dir := range []string{filepath.Join(b.dir, "county"), filepath.Join(b.dir, "elsewhere")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	server := strings.Split(strings.Split(b.read("contexts.yaml"), "['")[1], "']")[0]
	b.write("county/k", "hk_x\n")
	b.write("beside", "hk_x\n")
	// As the README does it: from above the folder, with names relative to here.
	t.Chdir(b.dir)
	for name, file := range map[string]string{"inside": "county/k", "beside": "beside"} {
		if _, errs, code := b.run("--contexts", "county/contexts.yaml", "context", "add", name, "--server", server, "--credential-file", file); code != 0 {
			t.Fatalf("exit %d: %s", code, errs)
		}
	}
	text := b.read("county/contexts.yaml")
	if !strings.Contains(text, "credential_file: k\n") || !strings.Contains(text, "credential_file: "+filepath.Join(b.dir, "beside")) {
		t.Errorf("stored: %s", text)
	}
	for _, dir := range []string{b.dir, filepath.Join(b.dir, "elsewhere"), outside} {
		t.Chdir(dir)
		for _, name := range []string{"inside", "beside"} {
			if _, errs, code := b.run("--contexts", "@county/contexts.yaml", "--context", name, "context", "test"); code != 0 {
				t.Errorf("from %s, %s: exit %d: %s", dir, name, code, errs)
			}
		}
	}
	// All four members that name files are below the contexts' folder.
	for _, member := range []string{"credential_file: x", "ca_file: x", "cert_file: x, key_file: k", "cert_file: k, key_file: x"} {
		b.write("county/contexts.yaml", "current: m\ncontexts: {m: {server: ['"+server+"'], "+member+"}}\n")
		_, errs, _ := b.run("--contexts", "@county/contexts.yaml", "context", "test")
		if want := filepath.Join(b.dir, "county", "x"); !strings.Contains(errs, want) && !strings.HasSuffix(member, "key_file: x") {
			t.Errorf("%s: %s", member, errs)
		}
	}
}

func TestContextAddKeepsWhatItCannotRead(t *testing.T) {
	b := newBench(t)
	b.write("contexts.yaml", "current: [")
	if _, errs, code := b.run("context", "add", "x", "--server", "http://127.0.0.1:1"); code != api.ExitRefused || b.read("contexts.yaml") != "current: [" {
		t.Errorf("exit %d: %s\nfile %s", code, errs, b.read("contexts.yaml"))
	}
}

func TestObjectsAreReadStrictly(t *testing.T) {
	resource := func(line string) string {
		return "resource: a.b\ntitle: {zh: 甲, en: A}\nowner: fgw\nsharing: conditional\ndisclosure: {route: none}\n" + line + "\n"
	}
	tests := []struct{ name, noun, text, want string }{
		{"boolean in a list", "resource", resource("key: [no]"), "line 6, key: text is wanted and false was read"},
		{"number in a list", "resource", resource("publishers:\n- 0123"), "line 6, publishers: text is wanted and 83 was read"},
		{"nothing in a list", "resource", resource("key: [~]"), "line 6, key: an element of the list is empty"},
		{"number for text", "department", "code: fgw\nname: 委\nkind: government\nlevel: county\nregion: 500154\n", "line 5, region: text is wanted and 500154 was read"},
		{"boolean in a list of its own kind", "group", "{code: all, name: 全, departments: [fgw, yes]}", "line 1, departments: text is wanted and true was read"},
		{"boolean in fields", "grant", strings.Replace(benchFiles["grant.yaml"], "fields: all", "fields: [off]", 1), "fields: text is wanted and false was read"},
		{"boolean name", "resource", resource("fields: {no: {sharing: unconditional}}"), "a member's name was read as false"},
		{"text for boolean", "resource", resource("erasable: 'yes'"), "line 6, erasable: true or false is wanted"},
		{"text for number", "resource", resource("revision: '1'"), "line 6, revision: a number is wanted"},
		{"object for list", "resource", resource("key: {a: b}"), "line 6, key: a list is wanted"},
		{"text for object", "resource", strings.Replace(resource(""), "{zh: 甲, en: A}", "甲", 1), "line 2, title: an object is wanted"},
		{"other case", "resource", resource("Key: [a]"), "line 6, Key: this member is written key"},
		{"other case below", "resource", strings.Replace(resource(""), "route:", "Route:", 1), "disclosure.Route: this member is written route"},
		{"other case in JSON", "group", `{"code":"all","name":"全","Departments":["fgw"]}`, "Departments: this member is written departments"},
		{"unknown", "resource", resource("colour: red"), "line 6, colour: there is no such member"},
		{"twice in JSON", "group", `{"code":"a","code":"b","name":"全","departments":[]}`, "usage: "},
		{"twice in YAML", "group", "code: a\ncode: b\nname: 全\n", "usage: "},
		{"two objects", "group", "code: a\nname: 全\n---\ncode: b\n", "line 3: one file holds one object"},
		{"nothing", "group", "", "there is nothing in it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("o.yaml", tt.text)
			verb := "put"
			if tt.noun == "grant" {
				verb = "request"
			}
			if _, errs, code := b.run(tt.noun, verb, "-f", "@o.yaml"); code != api.ExitRefused || !strings.Contains(errs, tt.want) || len(b.asked) > 0 {
				t.Errorf("exit %d, asked %v: %s", code, b.asked, errs)
			}
		})
	}
}

// The examples that the README uses stay readable.
func TestExamplesAreRead(t *testing.T) {
	for file, args := range map[string]string{"housing": "department put", "finance": "department put", "housing-system": "system put", "finance-system": "system put",
		"resource": "resource put", "grant": "grant request", "subscription": "subscription create"} {
		b := newBench(t)
		example := filepath.Join("..", "deploy", "examples", "newcomer", file+".yaml")
		if _, errs, code := b.run(append(strings.Fields(args), "-f", example)...); code != 0 {
			t.Errorf("%s: exit %d: %s", file, code, errs)
		}
	}
}
