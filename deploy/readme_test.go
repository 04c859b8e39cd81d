package deploy

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write goldens anew")

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// newcomerHead begins deploy/newcomer.sh; the rest is README's code blocks.
const newcomerHead = `#!/usr/bin/env bash
# README's code blocks in one file; a test keeps the two the same. It makes a
# folder county in the current directory and stops the node it started.
set -euo pipefail

`

// TestNewcomerIsTheReadme keeps deploy/newcomer.sh and README the same.
func TestNewcomerIsTheReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	want.WriteString(newcomerHead)
	blocks := shellBlock.FindAllSubmatch(readme, -1)
	if len(blocks) < 6 {
		t.Fatalf("README has %d shell blocks; the story is longer", len(blocks))
	}
	for _, b := range blocks {
		want.Write(b[1])
		want.WriteString("\n")
	}
	if *rewrite {
		if err := os.WriteFile("newcomer.sh", want.Bytes(), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("newcomer.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("deploy/newcomer.sh is not README's code blocks; run go test ./deploy -run NewcomerIsTheReadme -rewrite")
	}
	chinese, err := os.ReadFile("../README.zh-CN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if !strings.Contains(string(chinese), string(b[0])) {
			t.Errorf("README.zh-CN.md lacks a code block of README.md:\n%s", b[0])
		}
	}
}
