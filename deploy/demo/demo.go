package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/node/api"
)

const (
	// setupWait bounds making the cluster and the county, builds apart.
	setupWait = 3 * time.Minute
	// deliverWait bounds how long one wave of records may take to all receivers.
	deliverWait = 3 * time.Minute
)

// demo is one county. Its fields belong to the goroutine of run.
type demo struct {
	o        options
	out      io.Writer
	began    time.Time
	sup      *supervisor
	story    story
	contexts contexts
	clients  map[string]*api.Client // by context
	work     sync.WaitGroup         // the clerks
	tails    map[string]tail        // by receiver's file

	byHand         api.PublishAnswer   // of the register of units
	byHandRefusals []string            // its refusals
	refusals       map[string][]string // of the adapters, by resource
	early          int                 // entries of the reviewed feed before the last reviews
}

func newDemo(o options, out io.Writer) *demo {
	d := &demo{o: o, out: out, began: time.Now(), story: newStory(), clients: map[string]*api.Client{}, tails: map[string]tail{}, contexts: contexts{Contexts: map[string]api.ClientConfig{}}}
	d.sup = newSupervisor(o.dir, d.environment())
	return d
}

// path is a path in the demo's folder.
func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.o.dir}, parts...)...)
}

// say tells where the run is.
func (d *demo) say(zh, en string) {
	fmt.Fprintf(d.out, "%6.1fs  %s / %s\n", time.Since(d.began).Seconds(), zh, en)
}

// run is the whole demo. All processes have ended when it returns.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		d.work.Wait()
		d.sup.stop()
		for _, c := range d.clients {
			c.Close()
		}
	}()
	if err := d.raise(ctx); err != nil {
		return err
	}
	if err := d.tell(ctx); err != nil {
		return err
	}
	if d.o.once {
		return d.sumUp(ctx)
	}
	d.addresses()
	<-ctx.Done()
	d.say("正在停止", "stopping")
	return context.Cause(ctx)
}

// raise builds the programs, starts the nodes and makes the county.
func (d *demo) raise(ctx context.Context) error {
	for _, dir := range []string{"bin", "log", "nodes", "departments", "received"} {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			return err
		}
	}
	if err := d.checkPorts(); err != nil {
		return err
	}
	d.say("编译三个程序(首次较慢)", "building the three programs (slow the first time)")
	if err := build(ctx, d.path("bin")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, setupWait, fmt.Errorf("the county was not ready within %s", setupWait))
	defer cancel()
	d.say(fmt.Sprintf("启动%d个节点", d.o.nodes), fmt.Sprintf("starting %d nodes", d.o.nodes))
	if err := d.startCluster(ctx); err != nil {
		return err
	}
	d.say("建立部门、系统、目录、授权和订阅", "making departments, systems, catalogue, grants, subscriptions")
	if err := d.setUp(ctx); err != nil {
		return err
	}
	_, _, _, err := d.ctl(ctx, nil, "--context", auditorContext, "audit", "trust", "-o", d.path("trust"))
	return err
}

// tell has the county exchange its data.
func (d *demo) tell(ctx context.Context) error {
	d.say("启动接收方和适配器,报送数据", "starting receivers and adapters, sending data")
	if err := d.startReceivers(); err != nil {
		return err
	}
	d.clerks(ctx)
	if err := d.publishFirst(ctx); err != nil {
		return err
	}
	if err := d.startAdapters(); err != nil {
		return err
	}
	if err := d.awaitReceived(ctx, false); err != nil {
		return err
	}
	d.say("首批已全部送达,提案办复已返回;开始公开审核", "the first wave has arrived everywhere, replies to motions are back; reviewing disclosures")
	all := func(int) bool { return false }
	if err := d.review(ctx, stepsBeforeEdit, all); err != nil {
		return err
	}
	feed, err := d.readFeed(ctx, "projects.disclosure")
	if err != nil {
		return err
	}
	d.early = feed.shown
	d.say("办件续办、公开信息更正、退回的提案改正后重报", "cases go on, disclosures are edited, refused motions are mended and sent again")
	if err := d.publishLater(ctx); err != nil {
		return err
	}
	if err := d.awaitReceived(ctx, true); err != nil {
		return err
	}
	if err := d.checkEdited(ctx); err != nil {
		return err
	}
	d.say("第二批已送达;完成其余审核", "the second wave has arrived; finishing the reviews")
	// Without -once the last disclosure of each department waits for a person.
	if err := d.review(ctx, len(deciders), func(place int) bool { return !d.o.once && place == disclosuresEach-1 }); err != nil {
		return err
	}
	return d.withdrawSome(ctx)
}

// addresses tells where everything is.
func (d *demo) addresses() {
	d.say("县已就绪,按 Ctrl-C 结束", "the county is up, Ctrl-C ends it")
	var b strings.Builder
	for i := range d.o.nodes {
		fmt.Fprintf(&b, "  节点 node n%d   API http://%s   公开 public http://%s\n", i+1, d.address(i, 0), d.address(i, 2))
	}
	fmt.Fprintf(&b, "  公开信息源 feeds      http://%s/feeds/projects.disclosure.atom  (.json; org.unit, approvals.service_item)\n", d.address(0, 2))
	fmt.Fprintf(&b, "  上下文 contexts       %s\n  信任文件 trust file   %s\n  进程 processes        %s\n", d.path("contexts.yaml"), d.path("trust"), d.path("processes.json"))
	fmt.Fprintf(&b, "  接收文件 received     %s\n  提案投放 proposals    %s\n  审批库 approvals      %s\n", d.path("received", "<部门 department>", "<资源 resource>.ndjson"), d.department("zxta", "proposals", "in"), d.path("approvals.db"))
	fmt.Fprintf(&b, "\n  export HUTONG_CONTEXTS=%s\n  %s cluster status\n  %s --context egov.review publication list --state pending\n", d.path("contexts.yaml"), d.program("hutongctl"), d.program("hutongctl"))
	fmt.Fprint(d.out, b.String())
}
