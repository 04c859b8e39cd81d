package deploy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hutong-bus/hutong"

// floors is the house of DESIGN §3: a package imports only lower floors. A
// package without a line here fails the test. A half floor is a test suite,
// which only test files import.
var floors = map[string]float64{
	"schemas/record": 1, "node/tlog": 1,
	"schemas": 2, "node/store": 2, "node/authority": 2, "adapters": 2,
	"node/policy": 3, "node/disclosure": 3, "node/audit": 3, "adapters/mapping": 3, "adapters/outbox": 3,
	"node/api": 4, "node/state": 4, "node/payload": 4, "node/deliver": 4, "node/feed": 4, "adapters/sqlpoll": 4, "adapters/filedrop": 4,
	"node/replica": 5, "node/checkpoint": 5, "adapters/runner": 5,
	"node/exchange": 6, "node/transport": 7, "node": 8, "ctl": 8,
	"node/hutongd": 9, "adapters/hutong-adapter": 9, "ctl/hutongctl": 9,
	"deploy": 10, "deploy/demo": 10,
	"adapters/adaptertest": 2.5, "adapters/sqlpoll/sqlpolltest": 4.5,
}

// faces may be imported from other wings.
var faces = []string{"schemas/record", "node/tlog", "schemas", "node/audit", "node/api"}

// pure packages have no clock, no randomness and no environment: what they
// need of these comes in as an argument.
var pure = []string{"schemas", "schemas/record", "node/tlog", "node/policy", "node/disclosure", "node/audit", "node/state"}

// homes are the only packages that may import a library (by prefix).
var homes = map[string][]string{
	"github.com/hashicorp/raft":                           {"node/replica"},
	"github.com/cockroachdb/pebble":                       {"node/store", "adapters/outbox"},
	"github.com/segmentio/kafka-go":                       {},
	"github.com/santhosh-tekuri/jsonschema":               {"schemas"},
	"golang.org/x/mod/sumdb":                              {"node/tlog"},
	"golang.org/x/text/unicode/norm":                      {"schemas/record", "adapters/mapping"},
	"golang.org/x/text/encoding":                          {"adapters/mapping", "deploy/demo"},
	"github.com/oklog/run":                                {"node"},
	"github.com/spf13/cobra":                              {"ctl", "ctl/hutongctl"},
	"github.com/go-kit/kit/transport/http":                {"node/transport", "node/api"},
	"github.com/go-kit/kit/endpoint":                      {"node/transport", "node/api"},
	"github.com/jackc/pgx":                                {"adapters/sqlpoll", "adapters/sqlpoll/sqlpolltest"},
	"modernc.org/sqlite":                                  {"adapters/sqlpoll", "deploy/demo"},
	"log":                                                 {},
	"math/rand":                                           {},
	"github.com/go-kit/log":                               {},
	"github.com/pkg/errors":                               {},
	"github.com/stretchr/testify":                         {},
	"github.com/santhosh-tekuri/jsonschema/v5/httploader": {},
}

// source is one parsed file.
type source struct {
	path string // from the root
	pkg  string // folder from the root
	test bool
	file *ast.File
	set  *token.FileSet
	text []byte
}

// house parses every Go file.
func house(t *testing.T) []source {
	t.Helper()
	root := ".."
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == ".git" || name == "bin" || name == "testdata" || path == filepath.Join(root, "deploy", "tools")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		out = append(out, source{path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(name, "_test.go"), file: f, set: set, text: text})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found only %d files: the walk is broken", len(out))
	}
	return out
}

func wing(pkg string) string { first, _, _ := strings.Cut(pkg, "/"); return first }

func TestFloors(t *testing.T) {
	for _, s := range house(t) {
		floor, ok := floors[s.pkg]
		if !ok {
			t.Errorf("%s: package %s has no floor in DESIGN §3", s.path, s.pkg)
			continue
		}
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			inside, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				checkHome(t, s, path)
				continue
			}
			if problem := mayImport(s, floor, inside); problem != "" {
				t.Errorf("%s imports %s: %s", s.path, inside, problem)
			}
		}
	}
}

// mayImport says why the import is not allowed, or nothing.
func mayImport(s source, floor float64, inside string) string {
	other, known := floors[inside]
	switch {
	case !known:
		return "it has no floor"
	case other != float64(int(other)) && !s.test:
		return "a test suite is imported by test files only"
	case s.test && inside == s.pkg, s.test && wing(s.pkg) == "deploy" && other != float64(int(other)):
		return ""
	case wing(inside) != wing(s.pkg) && !slices.Contains(faces, inside):
		return "it is in another wing and no face"
	case other >= floor && !(s.test && other < floor+1):
		return "it is not on a lower floor"
	}
	return ""
}

func checkHome(t *testing.T, s source, path string) {
	t.Helper()
	// The longest matching rule counts.
	best := ""
	for lib := range homes {
		if (path == lib || strings.HasPrefix(path, lib+"/")) && len(lib) > len(best) {
			best = lib
		}
	}
	if best == "math/rand" && path != "math/rand" || best == "log" && path != "log" {
		return
	}
	if best != "" && !slices.Contains(homes[best], s.pkg) && !(s.test && len(homes[best]) > 0) {
		t.Errorf("%s imports %s, whose only homes are %v", s.path, path, homes[best])
	}
}

func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range house(t) {
		if !s.test && s.file.Doc != nil && len(s.file.Doc.Text()) > 40 {
			documented[s.pkg] = true
		} else if _, seen := documented[s.pkg]; !seen && !s.test {
			documented[s.pkg] = false
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package doc", pkg)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range house(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: init() hides an order of things; say it in main", s.path)
			}
		}
	}
}

func TestGoStatementsSayWhenTheyStop(t *testing.T) {
	for _, s := range house(t) {
		if s.test {
			continue
		}
		lines := bytes.Split(s.text, []byte("\n"))
		ast.Inspect(s.file, func(n ast.Node) bool {
			g, ok := n.(*ast.GoStmt)
			if !ok {
				return true
			}
			line := s.set.Position(g.Pos()).Line
			if line < 2 || !commentAbove(lines, line-2, "Stops when") {
				t.Errorf("%s:%d: the go statement has no line \"Stops when …\" above it", s.path, line)
			}
			return true
		})
	}
}

// commentAbove looks through the comment block that ends at lines[i].
func commentAbove(lines [][]byte, i int, want string) bool {
	for ; i >= 0; i-- {
		l := bytes.TrimSpace(lines[i])
		if !bytes.HasPrefix(l, []byte("//")) {
			return false
		}
		if bytes.Contains(l, []byte(want)) {
			return true
		}
	}
	return false
}

// impure names what a pure package may not call.
var impure = map[string][]string{
	"time":         {"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick"},
	"os":           nil, // nothing of it
	"crypto/rand":  nil,
	"math/rand/v2": nil,
	"math/rand":    nil,
	"os/exec":      nil,
	"net":          nil,
	"net/http":     nil,
}

func TestPurePackages(t *testing.T) {
	for _, s := range house(t) {
		if s.test || !slices.Contains(pure, s.pkg) {
			continue
		}
		names := map[string][]string{}
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			banned, ok := impure[path]
			switch {
			case !ok:
			case banned == nil:
				t.Errorf("%s: a pure package imports %s", s.path, path)
			default:
				name := path[strings.LastIndexByte(path, '/')+1:]
				if imp.Name != nil {
					name = imp.Name.Name
				}
				names[name] = banned
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(names[x.Name], sel.Sel.Name) {
				t.Errorf("%s:%d: a pure package uses %s.%s; time comes in as an argument", s.path, s.set.Position(sel.Pos()).Line, x.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

// TestTidyCatches shows that the rules above find what they should: each
// planted fault is found.
func TestTidyCatches(t *testing.T) {
	at := func(pkg string, test bool) source { return source{pkg: pkg, test: test} }
	for _, c := range []struct {
		name   string
		from   source
		to     string
		denied bool
	}{
		{"up a floor", at("node/store", false), "node/state", true},
		{"sideways", at("node/state", false), "node/api", true},
		{"down a floor", at("node/state", false), "node/store", false},
		{"other wing, face", at("adapters/runner", false), "node/api", false},
		{"other wing, no face", at("adapters/runner", false), "node/state", true},
		{"suite from code", at("adapters/runner", false), "adapters/adaptertest", true},
		{"suite from test", at("adapters/filedrop", true), "adapters/adaptertest", false},
		{"unknown package", at("node/state", false), "node/attic", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mayImport(c.from, floors[c.from.pkg], c.to)
			if (got != "") != c.denied {
				t.Errorf("import of %s from %s: got %q, want denied %v", c.to, c.from.pkg, got, c.denied)
			}
		})
	}
	if commentAbove([][]byte{[]byte("\t// Starts now."), []byte("\tgo f()")}, 0, "Stops when") {
		t.Error("a go statement without its line passes")
	}
}
