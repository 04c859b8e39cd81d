package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/yaml"
)

//go:embed files/*.yaml
var mappingFiles embed.FS

// stream is one stream of an adapter's configuration.
type stream struct {
	Name     string         `json:"name"`
	Resource string         `json:"resource"`
	Source   map[string]any `json:"source"`
	Mapping  string         `json:"mapping"`
}

// pollEvery is how often adapters look; real ones look less often.
const pollEvery = "250ms"

// streamsOf are what a department's adapter reads.
func (d *demo) streamsOf(dept string) []stream {
	var out []stream
	table := func(name, resource string, source map[string]any) {
		source["kind"], source["driver"], source["file"], source["poll"] = "sqlpoll", "sqlite", d.path("approvals.db"), pollEvery
		source["table"], source["where"] = approvalTables[resource].name, "BM = '"+dept+"'"
		out = append(out, stream{name, resource, source, "mappings/" + name + ".yaml"})
	}
	folder := func(name, resource, dir string) {
		out = append(out, stream{name, resource, map[string]any{"kind": "filedrop", "dir": dir, "accept": "rename", "poll": pollEvery}, "mappings/" + name + ".yaml"})
	}
	if slices.Contains(handlers, dept) {
		table("items", "approvals.service_item", map[string]any{"updated_at": "GXSJ", "key": []string{"ID"}})
		table("cases", "approvals.case", map[string]any{"updated_at": "GXSJ", "key": []string{"ID"}})
		table("events", "approvals.event", map[string]any{"id": "ID"})
		folder("replies", "motions.handling", "replies")
	}
	if dept == "zxta" || dept == "rdb" {
		folder("motions", "motions.motion", "proposals")
	}
	if dept == "zxta" {
		folder("steps", "motions.step", "stations")
	}
	if dept == "fgw" {
		folder("projects", "projects.project", "projects")
	}
	if slices.Contains(disclosers, dept) {
		folder("disclosures", "projects.disclosure", "disclosures")
	}
	return out
}

// publishers are the departments with an adapter.
func publishers() []string { return append(slices.Clone(handlers), "zxta", "rdb") }

func (d *demo) department(dept string, rest ...string) string {
	return d.path(append([]string{"departments", dept}, rest...)...)
}

// startAdapters writes each department's configuration and runs its adapter.
func (d *demo) startAdapters() error {
	for _, dept := range publishers() {
		if err := d.configure(dept); err != nil {
			return fmt.Errorf("configure adapter of %s: %w", dept, err)
		}
		err := d.sup.start(process{name: "adapter-" + dept, tier: tierAdapter, args: []string{d.program("hutong-adapter"), "run", "-config", d.department(dept, "adapter.yaml")}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) configure(dept string) error {
	if err := os.MkdirAll(d.department(dept, "mappings"), 0o755); err != nil {
		return err
	}
	streams := d.streamsOf(dept)
	for _, s := range streams {
		raw, err := mappingFiles.ReadFile("files/" + s.Name + ".yaml")
		if err != nil {
			return err
		}
		if err := os.WriteFile(d.department(dept, s.Mapping), raw, 0o644); err != nil {
			return err
		}
	}
	key := d.contexts.Contexts[dept+"."+exchangeSystem].APIKey
	if err := os.WriteFile(d.department(dept, "credential"), []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	raw, err := yaml.Marshal(map[string]any{"department": dept, "system": exchangeSystem, "bus": d.servers(), "credential_file": "credential",
		"outbox": map[string]any{"dir": "outbox"}, "streams": streams})
	if err != nil {
		return err
	}
	return os.WriteFile(d.department(dept, "adapter.yaml"), raw, 0o644)
}

// counts are what an adapter counted of one stream.
type counts struct {
	Read, Filtered, Refused, Unchanged, Queued, Accepted, Duplicate, Stale, Rejected, Warnings int
}

func (c counts) balanced() bool {
	return c.Read == c.Filtered+c.Refused+c.Unchanged+c.Queued && c.Queued == c.Accepted+c.Duplicate+c.Stale+c.Rejected
}

// taken is how many records the bus has of those sent: a record whose answer was
// lost is sent again and answered as a duplicate.
func (c counts) taken() int { return c.Accepted + c.Duplicate }

// adapterStatus is what hutong-adapter status tells: of a running adapter, what
// it wrote down at At.
type adapterStatus struct {
	At      time.Time
	Streams []struct {
		Name, Resource, State string
		Counts                counts
		Refusals              []struct {
			Key      string
			Problems []struct{ Zh, En string }
		}
	}
}

// status asks a department's adapter.
func (d *demo) status(ctx context.Context, dept string) (adapterStatus, error) {
	var st adapterStatus
	cmd := exec.CommandContext(ctx, d.program("hutong-adapter"), "status", "-config", d.department(dept, "adapter.yaml"), "-o", "json")
	cmd.Env = d.environment()
	raw, err := cmd.Output()
	if err != nil {
		return st, fmt.Errorf("status of the adapter of %s: %w", dept, err)
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("status of the adapter of %s: %w", dept, err)
	}
	return st, nil
}

// publishFirst enters and drops what the county starts with.
func (d *demo) publishFirst(ctx context.Context) error {
	first := d.story.first
	if err := createApprovals(ctx, d.path("approvals.db")); err != nil {
		return err
	}
	if err := enter(ctx, d.path("approvals.db"), first); err != nil {
		return err
	}
	for _, dept := range []string{"zxta", "rdb"} {
		raw, err := motionsCSV(of(dept, first["motions.motion"]), dept == "zxta")
		if err != nil {
			return err
		}
		if err := drop(d.department(dept, "proposals"), motionsFile, raw); err != nil {
			return err
		}
	}
	if err := drop(d.department("zxta", "stations"), "提案过程.ndjson", stepsNDJSON(first["motions.step"])); err != nil {
		return err
	}
	if err := drop(d.department("fgw", "projects"), "项目库.json", projectsJSON(first["projects.project"])); err != nil {
		return err
	}
	if err := d.dropDisclosures("公开信息.ndjson", first["projects.disclosure"]); err != nil {
		return err
	}
	return d.publishUnits(ctx)
}

const motionsFile = "建议提案.csv"

func (d *demo) dropDisclosures(name string, items []item) error {
	for _, dept := range disclosers {
		if err := drop(d.department(dept, "disclosures"), name, lines(of(dept, items), disclosureColumns, withDays)); err != nil {
			return err
		}
	}
	return nil
}

// of are the items of one department.
func of(dept string, items []item) []item {
	var out []item
	for _, it := range items {
		if it.dept == dept {
			out = append(out, it)
		}
	}
	return out
}

// publishUnits sends the register of units by hand: hutongctl, no adapter.
func (d *demo) publishUnits(ctx context.Context) error {
	var file []byte
	for i, it := range d.story.first["org.unit"] {
		data, err := json.Marshal(it.body)
		if err != nil {
			return fmt.Errorf("write register of units: %w", err)
		}
		file = append(file, objectLine([]member{{"id", fmt.Sprintf("unit-%03d", i+1)}, {"op", "upsert"}, {"data", json.RawMessage(data)}})...)
		file = append(file, '\n')
	}
	if err := os.MkdirAll(d.department("egov"), 0o755); err != nil {
		return fmt.Errorf("write register of units: %w", err)
	}
	name := d.department("egov", "units.ndjson")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		return fmt.Errorf("write register of units: %w", err)
	}
	out, errs, code, err := d.ctl(ctx, nil, "--context", "egov."+exchangeSystem, "record", "publish", "org.unit", "-f", name, "-o", "json")
	if err != nil && code != exitRefused { // 2: some were rejected, as they should be
		return err
	}
	if err := json.Unmarshal([]byte(out), &d.byHand); err != nil {
		return fmt.Errorf("read answer of hutongctl record publish: %w", err)
	}
	d.byHandRefusals = firstLines(errs, 2)
	return nil
}

// publishLater enters and drops what comes after everything was delivered:
// cases go on, disclosures are edited, refused motions are mended.
func (d *demo) publishLater(ctx context.Context) error {
	if err := enter(ctx, d.path("approvals.db"), d.story.later); err != nil {
		return err
	}
	if err := d.dropDisclosures("公开信息更正.ndjson", d.story.later["projects.disclosure"]); err != nil {
		return err
	}
	name := d.department("zxta", "proposals", "feedback", "建议提案.错误.csv")
	raw, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the error file that came back: %w", err)
	}
	mended, rows, err := mendCSV(raw, d.story.corrections("motions.motion"))
	if err != nil {
		return err
	}
	if want := len(d.story.corrections("motions.motion")); rows != want {
		return fmt.Errorf("%s holds %d of the %d rows to mend", filepath.Base(name), rows, want)
	}
	return drop(d.department("zxta", "proposals"), filepath.Base(name), mended)
}
