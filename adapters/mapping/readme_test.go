package mapping

import (
	"os"
	"strings"
	"testing"
)

// TestREADME: the mapping shown there is one that loads.
func TestREADME(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no mapping in README.md")
	}
	if _, err := Parse([]byte(block)); err != nil {
		t.Error(err)
	}
}
