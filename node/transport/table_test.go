package transport

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// counted are the requests that a route has answered, by the metrics.
func (r *rig) counted(route string) bool {
	r.t.Helper()
	_, _, text := r.do(r.request("nobody", "GET", "/metrics", nil, ""))
	return bytes.Contains(text, []byte(`hutong_transport_requests_total{code="`)) && regexp.MustCompile(`requests_total\{code="[a-z_]+",route="`+route+`"\}`).Match(text)
}

// fill puts a name for every parameter of a pattern.
func fill(pattern string) string {
	return pathParameter.ReplaceAllString(pattern, "x")
}

// TestEveryRoute asks each address of the table: it is there on its own listener
// and on no other, and what is not anonymous wants to know who asks.
func TestEveryRoute(t *testing.T) {
	r := newRig(t, nil)
	table := r.server.routes()
	if len(table) < 50 {
		t.Fatalf("only %d routes", len(table))
	}
	names := map[string]bool{}
	for i := range table {
		route := &table[i]
		t.Run(route.name, func(t *testing.T) {
			if names[route.name] {
				t.Error("the name stands twice")
			}
			names[route.name] = true
			who, other := "admin", "portal"
			if route.publicOnly {
				who, other = "portal", "admin"
			}
			header := http.Header{"Content-Type": {"application/json"}}
			if route.name == "schema_register" {
				header.Set("Content-Type", schemaType)
			}
			status, _, body := r.do(r.request(who, route.method, fill(route.pattern), header, "{}"))
			if bytes.Contains(body, []byte("openapi.json")) {
				t.Errorf("%d %s: nobody serves it", status, body)
			}
			if !r.counted(route.name) {
				t.Errorf("%d %s: not counted under its name", status, body)
			}
			if !route.public {
				if status, _, _ := r.do(r.request(other, route.method, fill(route.pattern), header, "{}")); status != http.StatusNotFound {
					t.Errorf("the other listener answers %d", status)
				}
			}
			status, _, _ = r.do(r.request("nobody", route.method, fill(route.pattern), header, "{}"))
			if want := !route.anonymous && !route.publicOnly; want != (status == http.StatusUnauthorized) {
				t.Errorf("without a key: %d, anonymous %v", status, route.anonymous)
			}
		})
	}
}

// TestContractRoutes compares the table with the addresses of the contract.
func TestContractRoutes(t *testing.T) {
	r := newRig(t, nil)
	var got []string
	for _, route := range r.server.routes() {
		got = append(got, route.method+" "+strings.TrimPrefix(route.pattern, "/v1"))
	}
	const system = "/departments/{department}/systems"
	for _, want := range []string{
		"POST /resources/{resource}/records", "POST /resources/{resource}/validate", "GET /resources/{resource}/records",
		"GET /resources/{resource}/records/{key}", "GET /resources/{resource}/records/{key}/history", "GET /resources/{resource}/records/{key}/evidence", "GET /resources/{resource}/records/{key}/receipt",
		"GET /resources/{resource}", "PUT /resources/{resource}", "GET /resources", "POST /resources/{resource}/schemas", "GET /resources/{resource}/schemas", "GET /resources/{resource}/schemas/{version}",
		"GET /departments", "GET /departments/{department}", "PUT /departments/{department}", "GET " + system, "GET " + system + "/{system}", "PUT " + system + "/{system}",
		"GET " + system + "/{system}/credentials", "POST " + system + "/{system}/credentials", "DELETE " + system + "/{system}/credentials/{credential}", "POST " + system + "/{system}/fence",
		"GET /groups", "GET /groups/{group}", "PUT /groups/{group}", "POST /grants", "GET /grants", "GET /grants/{grant}", "POST /grants/{grant}/approve", "POST /grants/{grant}/refuse", "POST /grants/{grant}/revoke",
		"POST /subscriptions", "GET /subscriptions", "GET /subscriptions/{subscription}", "DELETE /subscriptions/{subscription}", "POST /subscriptions/{subscription}/pause", "POST /subscriptions/{subscription}/resume",
		"GET /subscriptions/{subscription}/records", "POST /subscriptions/{subscription}/ack", "GET /quarantine", "GET /quarantine/{quarantine}", "POST /quarantine/{quarantine}/discard",
		"GET /publications", "GET /publications/{publication}", "POST /publications/{publication}/approve", "POST /publications/{publication}/return", "POST /publications/{publication}/withdraw",
		"GET /audit/events", "GET /cluster", "POST /cluster/members", "DELETE /cluster/members/{member}", "POST /cluster/transfer-leadership", "GET /healthz", "GET /readyz",
		"GET /feeds/{file}", "GET /audit/checkpoint", "GET /audit/{log}/checkpoint", "GET /audit/{log}/tile/{level}/{rest...}",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the table lacks %s", want)
		}
	}
}

// TestOpenAPI judges the document by itself: every reference leads somewhere,
// every parameter of a path is declared, and it lists what is routed.
func TestOpenAPI(t *testing.T) {
	r := newRig(t, nil)
	status, header, text := r.do(r.request("nobody", "GET", "/openapi.json", nil, ""))
	if status != 200 || header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d %v", status, header)
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                                      `json:"operationId"`
			Summary     string                                      `json:"summary"`
			Parameters  []struct{ Name, In string }                 `json:"parameters"`
			RequestBody *struct{ Content map[string]any }           `json:"requestBody"`
			Responses   map[string]struct{ Content map[string]any } `json:"responses"`
			Security    []any                                       `json:"security"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%q, %v", doc.OpenAPI, err)
	}
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllSubmatch(text, -1) {
		if s := doc.Components.Schemas[string(ref[1])]; len(s) == 0 {
			t.Errorf("reference to %s leads nowhere", ref[1])
		}
	}
	ids, operations := map[string]bool{}, 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			operations++
			at := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Responses) < 2 {
				t.Errorf("%s is incomplete: %+v", at, op)
			}
			ids[op.OperationID] = true
			declared := map[string]bool{}
			for _, p := range op.Parameters {
				if declared[p.In+p.Name] {
					t.Errorf("%s declares %s twice", at, p.Name)
				}
				declared[p.In+p.Name] = true
			}
			for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
				if !declared["path"+m[1]] {
					t.Errorf("%s does not declare %s", at, m[1])
				}
			}
			if strings.Contains(path, "...") {
				t.Errorf("%s is Go's pattern, not OpenAPI's", at)
			}
		}
	}
	if want := len(r.server.routes()); operations != want {
		t.Errorf("%d operations, %d routes", operations, want)
	}
	publish := doc.Paths["/v1/resources/{resource}/records"]["post"]
	if publish.RequestBody == nil || len(publish.RequestBody.Content) != 2 || len(publish.Security) != 2 {
		t.Errorf("publish: %+v", publish)
	}
	problem := doc.Components.Schemas["Problem"]["properties"].(map[string]any)
	for _, member := range []string{"type", "title", "status", "code", "detail", "instance", "errors", "more"} {
		if problem[member] == nil {
			t.Errorf("the problem's schema lacks %s", member)
		}
	}
}
