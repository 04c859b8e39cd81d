package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed catalog
var catalogFiles embed.FS

// Embedded lists the resources that have a shared schema in the program, sorted.
func Embedded() []string {
	var names []string
	for _, file := range catalogList("catalog/*/*/v1.json") {
		dir := path.Dir(file)
		names = append(names, path.Base(path.Dir(dir))+"."+path.Base(dir))
	}
	slices.Sort(names)
	return names
}

// EmbeddedSchema returns the bytes of a shared schema version, which must not be changed.
func EmbeddedSchema(resource string, version uint32) (raw []byte, ok bool) {
	if !ValidResourceName(resource) {
		return nil, false
	}
	raw, err := catalogFiles.ReadFile(fmt.Sprintf("%s/v%d.json", catalogDir(resource), version))
	return raw, err == nil
}

// EmbeddedExamples returns the example bodies beside a shared schema by file name: those that
// fit it, and those that do not.
func EmbeddedExamples(resource string) (valid, invalid map[string][]byte) {
	valid, invalid = map[string][]byte{}, map[string][]byte{}
	if !ValidResourceName(resource) {
		return valid, invalid
	}
	for _, file := range catalogList(catalogDir(resource) + "/examples/*.json") {
		raw, err := catalogFiles.ReadFile(file)
		if err != nil {
			continue
		}
		if name := path.Base(file); strings.HasPrefix(name, "valid-") {
			valid[name] = raw
		} else {
			invalid[name] = raw
		}
	}
	return valid, invalid
}

func catalogDir(resource string) string {
	return "catalog/" + strings.Replace(resource, ".", "/", 1)
}

// catalogList returns the embedded files that match; the patterns are the package's own, so they are well formed.
func catalogList(pattern string) []string {
	files, err := fs.Glob(catalogFiles, pattern)
	if err != nil {
		return nil
	}
	return files
}
