package api

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write the goldens anew")

// TestCodes freezes the table that programs branch on: code, status, class, exit
// code and titles.
func TestCodes(t *testing.T) {
	var lines []string
	for code, m := range Codes() {
		if m.Zh == "" || m.En == "" || m.Status < 400 {
			t.Errorf("%s is incomplete: %+v", code, m)
		}
		lines = append(lines, fmt.Sprintf("%s %d exit %d %s / %s", code, m.Status, ExitCode(Refuse(code, "x")), m.Zh, m.En))
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/codes.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, ExitDone},
		{errors.New("x"), ExitInternal},
		{Internal(errors.New("x")), ExitInternal},
		{fmt.Errorf("act: %w", Refuse(CodeNotGranted, "x")), ExitRefused},
		{fmt.Errorf("act: %w", Refuse(CodeNoLeader, "x")), ExitUnreachable},
		{fmt.Errorf("act: %w", ErrUnreachable), ExitUnreachable},
		{fmt.Errorf("act: %w", ErrNotCovered), ExitNotCovered},
	} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestProblem(t *testing.T) {
	cause := errors.New("disk on fire")
	p := Internal(cause)
	if !errors.Is(p, cause) || strings.Contains(p.Error()+p.Detail, "fire") {
		t.Errorf("an internal problem must keep its cause and not tell it: %v", p)
	}
	if got := Refuse("no_such", "x").Status; got != 500 {
		t.Errorf("unknown code has status %d", got)
	}
	if got := (&Problem{Code: CodeErased, Title: "t"}).Error(); got != "erased: t" {
		t.Errorf("without detail: %q", got)
	}
}

func TestIn(t *testing.T) {
	for _, tt := range []struct{ text, zh, en string }{
		{"中文 / English", "中文", "English"},
		{"a / b", "a / b", "a / b"},
		{"只有中文", "只有中文", "只有中文"},
		{"只有 / 中文", "只有 / 中文", "只有 / 中文"},
		{"实为“甲 / 乙” / found it", "实为“甲 / 乙”", "found it"},
		{"", "", ""},
	} {
		if zh, en := In("zh", tt.text), In("en", tt.text); zh != tt.zh || en != tt.en {
			t.Errorf("%q: got %q, %q", tt.text, zh, en)
		}
	}
}
