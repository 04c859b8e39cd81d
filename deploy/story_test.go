package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hutong-bus/hutong/node/api"
)

// TestNewcomer runs README's story as it stands.
func TestNewcomer(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(root, "county")
	if _, err := os.Stat(folder); err == nil {
		t.Fatalf("%s is in the way; remove it", folder)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	cmd := exec.Command("bash", "deploy/newcomer.sh")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("newcomer.sh: %v\n%s", err, out)
	}
	for _, want := range []string{
		`“办件状态”:应为代码表“办件状态”中的代码,实为“已受理”。改法:改填最接近的代码:受理`, // refused, readable
		"accepted 1",
		`"data":{"case_no":"GTFG-2026-000117","task_name":"商品房预售许可","dept_code":"GTFG01","status":"受理","accepted_at":"2026-11-02T09:30:00+08:00"}`,
		"证据包核验结论:有效",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("newcomer.sh did not print %s\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "欧阳锦程") {
		t.Error("a field that was not granted left the bus")
	}
}

const reviewedProjects = `
resource: projects.project
title: {zh: 工程项目, en: Projects}
owner: fgw
key: [project_code]
sharing: unconditional
disclosure:
  route: reviewed
  steps:
    - {name: 单位初审, role: reviewer, department: publisher}
    - {name: 保密审查, role: reviewer, department: bmj}
    - {name: 县政府办, role: reviewer, department: xzf}
feed: {title: '{{.project_name}}', summary: '{{.status}}', link: '/projects/{{.project_code}}'}
`

func project(code, name string) []byte {
	return fmt.Appendf(nil, `{"op":"upsert","data":{"project_code":%q,"project_name":%q,"status":"preparation"}}`, code, name)
}

// TestReviewBeforeThePublic walks a record through its disclosure route: on no
// feed before its last step, sent back by an edit, a tombstone when withdrawn.
func TestReviewBeforeThePublic(t *testing.T) {
	c := startCluster(t, 1)
	ctx := context.Background()
	publisher := c.join(t, "fgw", "projects", "publisher, reviewer")
	c.join(t, "bmj", "review", "reviewer")
	c.join(t, "xzf", "review", "reviewer")
	c.resource(t, reviewedProjects, "projects.project")
	if _, err := publisher.PublishOne(ctx, "projects.project", project("P-1", "滨河路改造")); err != nil {
		t.Fatal(err)
	}
	public := func() string {
		t.Helper()
		atom, err := publisher.Public(ctx, "/feeds/projects.project.atom")
		if err != nil {
			t.Fatal(err)
		}
		feed, err := publisher.Public(ctx, "/feeds/projects.project.json")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(atom), "滨河路") != strings.Contains(string(feed), "滨河路") {
			t.Errorf("the feeds disagree:\n%s\n%s", atom, feed)
		}
		return string(atom)
	}
	list := func() api.Publication {
		t.Helper()
		all, err := api.List[api.Publication](ctx, c.admin, nil, "publications")
		if err != nil || len(all) != 1 {
			t.Fatalf("publications %v, %v", all, err)
		}
		return all[0]
	}
	id := list().ID
	// A step of another department is refused.
	if _, errs, code := c.try(t, "xzf.review", "publication", "approve", id); code != 2 || !strings.Contains(errs, "not_granted") {
		t.Errorf("a step of another department: exit %d, %s", code, errs)
	}
	if out := c.ctl(t, "bmj.review", "publication", "show", id, "-o", "json"); !strings.Contains(out, "滨河路改造") {
		t.Errorf("a reviewer does not see what is to be published:\n%s", out)
	}
	if out := c.ctl(t, "admin", "publication", "show", id, "-o", "json"); strings.Contains(out, "滨河路") {
		t.Errorf("the administrator reads data:\n%s", out)
	}
	for _, by := range []string{"fgw.projects", "bmj.review", "xzf.review"} {
		if got := public(); strings.Contains(got, "滨河路") {
			t.Fatalf("public before %s decided:\n%s", by, got)
		}
		c.ctl(t, by, "publication", "approve", id)
	}
	if got := public(); !strings.Contains(got, "滨河路改造") {
		t.Fatalf("not public after the last step:\n%s", got)
	}
	// An edit is not public before it went through every step again.
	if _, err := publisher.PublishOne(ctx, "projects.project", project("P-1", "滨河路改造二期")); err != nil {
		t.Fatal(err)
	}
	if p := list(); p.State != "pending" || p.Open() != 0 || p.Version != 2 {
		t.Errorf("an edit did not send the publication back: %+v", p)
	}
	if _, errs, code := c.try(t, "fgw.projects", "publication", "approve", id, "--revision", "1"); code != 2 || !strings.Contains(errs, "revision_conflict") {
		t.Errorf("approved what was not seen: exit %d, %s", code, errs)
	}
	if got := public(); strings.Contains(got, "二期") {
		t.Errorf("an edit is public without review:\n%s", got)
	}
	c.ctl(t, "fgw.projects", "publication", "approve", id)
	c.ctl(t, "bmj.review", "publication", "return", id, "--note", "名称含未公开规划")
	if p := list(); p.State != "returned" {
		t.Errorf("returned: %+v", p)
	}
	c.ctl(t, "fgw.projects", "publication", "withdraw", id, "--note", "暂缓公开")
	got := public()
	if strings.Contains(got, "滨河路") || !strings.Contains(got, "deleted-entry") {
		t.Errorf("withdrawn, but no tombstone:\n%s", got)
	}
}

// TestGrantsAreTheOnlyWayOut asks for data in every way that is not granted.
func TestGrantsAreTheOnlyWayOut(t *testing.T) {
	c := startCluster(t, 1)
	ctx := context.Background()
	publisher := c.join(t, "gtfg", "approvals", "publisher, reviewer")
	other := c.join(t, "hbj", "cases", "publisher, subscriber")
	c.resource(t, `{resource: approvals.case, title: {zh: 办件}, owner: gtfg, publishers: [gtfg, hbj], key: [case_no], sharing: conditional, erasable: true, disclosure: {route: none}}`, "approvals.case")
	record := []byte(`{"id":"a1","op":"upsert","data":{"case_no":"GTFG-000001","task_name":"预售许可","dept_code":"GTFG01","status":"受理","applicant_name":"欧阳锦程"}}`)
	first, err := publisher.PublishOne(ctx, "approvals.case", record)
	if err != nil {
		t.Fatal(err)
	}
	// Sent again it is the same; the same id with other content is a conflict.
	again, err := publisher.PublishOne(ctx, "approvals.case", record)
	if err != nil || again.Offset != first.Offset || again.Status != api.StatusDuplicate || again.Leaf != first.Leaf {
		t.Errorf("duplicate: %+v, %v; first %+v", again, err, first)
	}
	wants := func(what string, want api.Code, err error) {
		t.Helper()
		var p *api.Problem
		if !asProblem(err, &p) || p.Code != want {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	_, err = publisher.PublishOne(ctx, "approvals.case", []byte(strings.Replace(string(record), "预售许可", "验收", 1)))
	wants("same id, other content", api.CodeIDConflict, err)
	_, err = other.PublishOne(ctx, "approvals.case", record)
	wants("foreign key", api.CodeKeyOwned, err)
	_, err = other.Publish(ctx, api.Publish{Resource: "approvals.case", Producer: "gtfg.approvals", Epoch: 1, Lines: [][]byte{[]byte(`{"seq":1,"op":"withdraw","key":"GTFG-000001","reason":"x"}`)}})
	wants("forged producer", api.CodeNotGranted, err)
	_, err = other.Record(ctx, "approvals.case", "GTFG-000001", "")
	wants("read without grant", api.CodeNotFound, err)
	_, err = other.Evidence(ctx, "approvals.case", "GTFG-000001", "")
	if err == nil {
		// A publisher of the resource may have evidence of it, but nothing of another's record is opened.
		b, _ := other.Evidence(ctx, "approvals.case", "GTFG-000001", "")
		if strings.Contains(string(b), "欧阳") {
			t.Error("evidence opens another department's record")
		}
	}
	page, err := other.Records(ctx, "approvals.case", api.ReadOptions{})
	if err != nil || len(page.Records) != 0 {
		t.Errorf("list without grant: %+v, %v", page, err)
	}
	for _, key := range []string{"../../departments", "%2e%2e", "a/b", "GTFG-000001/../x", strings.Repeat("k", 600)} {
		_, err = other.Record(ctx, "approvals.case", key, "")
		wants("path trick "+key[:min(len(key), 20)], api.CodeNotFound, err)
	}
	admin, err := c.admin.Record(ctx, "approvals.case", "GTFG-000001", "")
	wants(fmt.Sprintf("administrator reads %+v", admin.Key), api.CodeNotGranted, err)
	var status api.Cluster
	if err := json.Unmarshal([]byte(c.ctl(t, "admin", "cluster", "status", "-o", "json")), &status); err != nil || status.Leader != "n1" {
		t.Errorf("cluster status: %+v, %v", status, err)
	}
}
