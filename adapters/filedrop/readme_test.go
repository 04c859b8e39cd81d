package filedrop

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestREADME: the configuration shown there is one that loads.
func TestREADME(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "```yaml\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no configuration in README.md")
	}
	js, err := yaml.YAMLToJSON([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	if faults := Kind().Check(js); len(faults) > 0 {
		t.Error(faults)
	}
}
