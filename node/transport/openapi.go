package transport

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
)

var pathParameter = regexp.MustCompile(`\{([a-z]+)(\.\.\.)?\}`)

// openapiPath is the document's own address.
const openapiPath = "/openapi.json"

// openapi writes the document (OpenAPI 3.1) from the table that routes.
func openapi(table []route) map[string]any {
	schemas := map[string]any{}
	paths := map[string]map[string]any{}
	for i := range table {
		r := &table[i]
		path := strings.ReplaceAll(r.pattern, "...}", "}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = operation(r, schemas)
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Hutong 互通", "version": "1", "description": "Cross-department data exchange bus. Addresses marked x-listener: public are on the public listener."},
		"paths":   paths,
		"components": map[string]any{"schemas": schemas, "securitySchemes": map[string]any{
			"key": map[string]any{"type": "http", "scheme": "bearer"}, "certificate": map[string]any{"type": "mutualTLS"},
		}},
	}
}

// operation describes one line of the table.
func operation(r *route, schemas map[string]any) map[string]any {
	op := map[string]any{"operationId": r.name, "summary": r.summary, "responses": responses(r, schemas)}
	text := map[string]any{"type": "string"}
	parameters := []any{}
	for _, m := range pathParameter.FindAllStringSubmatch(r.pattern, -1) {
		parameters = append(parameters, map[string]any{"name": m[1], "in": "path", "required": true, "schema": text})
	}
	for _, q := range r.query {
		parameters = append(parameters, map[string]any{"name": q, "in": "query", "schema": text})
	}
	for _, h := range headersOf(r) {
		parameters = append(parameters, map[string]any{"name": h, "in": "header", "schema": text})
	}
	op["parameters"] = parameters
	content := map[string]any{}
	if r.in != nil {
		content["application/json"] = map[string]any{"schema": schemaOf(r.in, schemas)}
	}
	for _, media := range r.body {
		content[media] = map[string]any{}
	}
	if len(content) > 0 {
		op["requestBody"] = map[string]any{"content": content}
	}
	if !r.anonymous {
		op["security"] = []any{map[string]any{"key": []any{}}, map[string]any{"certificate": []any{}}}
	}
	if r.publicOnly {
		op["x-listener"] = "public"
	}
	return op
}

// headersOf are the headers of ours that an address listens to.
func headersOf(r *route) []string {
	switch {
	case r.name == "publish":
		return []string{api.ProducerHeader, "Prefer"}
	case r.name == "validate":
		return []string{api.ProducerHeader}
	case r.method == "PUT":
		return []string{"If-Match", "If-None-Match"}
	case r.method == "POST" && r.name != "ack":
		return []string{"Idempotency-Key"}
	case slices.Contains(r.query, "consistency"):
		return []string{"Hutong-Min-Index"}
	}
	return nil
}

func responses(r *route, schemas map[string]any) map[string]any {
	ok := map[string]any{"description": "done"}
	switch {
	case r.out != nil:
		ok["content"] = map[string]any{"application/json": map[string]any{"schema": schemaOf(r.out, schemas)}}
	case r.answer != "":
		ok["content"] = map[string]any{r.answer: map[string]any{}}
	}
	return map[string]any{"2XX": ok, "default": map[string]any{"description": "problem (RFC 9457)", "content": map[string]any{
		"application/problem+json": map[string]any{"schema": schemaOf(reflect.TypeFor[api.Problem](), schemas)},
	}}}
}

// schemaOf describes a Go type as encoding/json writes it. Named structs
// become components.
func schemaOf(t reflect.Type, components map[string]any) map[string]any {
	if t == reflect.TypeFor[json.RawMessage]() {
		return map[string]any{}
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), components)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), components)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), components)}
	case reflect.Struct:
		name := t.Name()
		if name == "" {
			return map[string]any{"type": "object"}
		}
		if _, seen := components[name]; !seen {
			components[name] = map[string]any{} // a place held against recursion
			components[name] = structSchema(t, components)
		}
		return map[string]any{"$ref": fmt.Sprintf("#/components/schemas/%s", name)}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	default:
		return map[string]any{}
	}
}

func structSchema(t reflect.Type, components map[string]any) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "-" || name == "" {
			continue
		}
		properties[name] = schemaOf(f.Type, components)
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if required != nil {
		out["required"] = required
	}
	return out
}
