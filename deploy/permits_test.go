package deploy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hutong-bus/hutong/adapters/sqlpoll/sqlpolltest"
	"github.com/hutong-bus/hutong/node/api"
)

// permit is one row of the real permits.
type permit struct {
	N, S, T, R, D, A, CN, ST, WT, GC, OS, X *string
	W, CA, GO                               *int
	C                                       *float64
	LAT, LON                                *float64
}

const permitsTable = `
create table permits (n text primary key, s text, t text, r text, d date, a text, w int, ca int, cn text, st text, wt text,
  c numeric, lat double precision, lon double precision, gc text, go int, os text, x text,
  updated_at timestamptz not null default clock_timestamp());
create function touch() returns trigger language plpgsql as $$ begin new.updated_at = clock_timestamp(); return new; end $$;
create trigger touch before update on permits for each row execute function touch();
create index on permits (updated_at, n);`

// Sizes of the run: writers fill the table in transactions that overlap, then
// change the status of some rows, some of them five times.
const (
	permitWriters  = 8
	permitChanged  = 5000
	permitChanges  = 5
	permitKills    = 3
	permitSeed     = 20260117
	permitsInFile  = 31_690
	permitsNoState = 4_633
)

func readPermits(t *testing.T) []permit {
	t.Helper()
	f, err := os.Open(sharedData(t, "approvals/chicago-permits-2025.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []permit
	for in := bufio.NewScanner(z); in.Scan(); {
		var p permit
		if err := json.Unmarshal(in.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	if len(out) != permitsInFile {
		t.Fatalf("%d permits in the file, want %d", len(out), permitsInFile)
	}
	return out
}

// TestPermitsUnderKills pumps the real permits from a busy PostgreSQL into
// three nodes whose leader is killed three times.
func TestPermitsUnderKills(t *testing.T) {
	permits := readPermits(t)
	pg := sqlpolltest.StartPostgres(t)
	pg.Exec(t, permitsTable)
	c := startCluster(t, 3)
	c.join(t, "jw", "permits", "publisher, reviewer")
	c.join(t, "czj", "budget", "subscriber")
	c.resource(t, `{resource: approvals.case, title: {zh: 办件}, owner: jw, key: [case_no], sharing: conditional, erasable: true, disclosure: {route: none}}`, "approvals.case")
	subscribeAll(t, c, "approvals.case", "jw.permits", "czj.budget", "permits")
	adapter := permitsAdapter(t, c, pg)
	got := &received{seen: map[string][]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { got.pull(ctx, t, c.client(t, "czj.budget"), "permits") })
	killed := make(chan struct{})
	// Stops when the leader was killed the given number of times.
	go func() {
		defer close(killed)
		killLeaders(t, c, got)
	}()
	fillPermits(t, pg, permits)
	<-killed
	want := tableOfPermits(t, pg)
	wait(t, "the last state of every row", func(context.Context) error { return got.agrees(want) })
	cancel()
	work.Wait()
	got.check(t, want)
	c.sameEverywhere(t)
	verifySome(t, c, want)
	adapterAddsUp(t, c, adapter)
}

// permitsAdapter runs hutong-adapter on the table.
func permitsAdapter(t *testing.T, c *cluster, pg sqlpolltest.Postgres) string {
	t.Helper()
	dir := filepath.Join(c.dir, "adapter")
	mapping, err := filepath.Abs("examples/mappings/chicago-permits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
department: jw
system: permits
bus: [%s]
credential_file: %s
outbox: {dir: outbox}
streams:
  - name: permits
    resource: approvals.case
    source: {kind: sqlpoll, driver: postgres, dsn: "%s", table: permits, columns: ["n", s, t, r, d, a, w, ca, cn, st, wt, c, lat, lon, gc, go, os, x], updated_at: updated_at, key: ["n"], poll: 200ms, settle: 200ms}
    mapping: %s
`, strings.Join(c.apis, ", "), filepath.Join(c.dir, "jw.permits.key"), pg.DSN, mapping)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "adapter.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "hutong-adapter", "check", "-config", file)
	start(t, filepath.Join(c.dir, "adapter.log"), "hutong-adapter", "run", "-config", file)
	return file
}

// subscribeAll makes a grant of all fields and a subscription of the same name.
func subscribeAll(t *testing.T, c *cluster, resource, owner, subscriber, name string) {
	t.Helper()
	department, _, _ := strings.Cut(subscriber, ".")
	file := filepath.Join(c.dir, name+".yaml")
	grant := fmt.Sprintf(`{grant: %s, resource: %s, subscriber: %s, fields: all, purpose: 测试, legal_basis: {instrument: 办法, article: 第九条}, not_after: "2036-12-31T00:00:00+08:00"}`, name, resource, department)
	if err := os.WriteFile(file, []byte(grant), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ctl(t, subscriber, "grant", "request", "-f", file)
	c.ctl(t, owner, "grant", "approve", name)
	if err := os.WriteFile(file, fmt.Appendf(nil, `{subscription: %s, resource: %s, grant: %s, sink: {kind: pull}, start: earliest}`, name, resource, name), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ctl(t, subscriber, "subscription", "create", "-f", file)
}

// fillPermits has eight writers insert all rows and change some of them, in
// transactions that overlap.
func fillPermits(t *testing.T, pg sqlpolltest.Postgres, permits []permit) {
	t.Helper()
	var writers sync.WaitGroup
	for w := range permitWriters {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(permitSeed, uint64(w)))
			conn, err := pgx.Connect(context.Background(), pg.DSN)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close(context.Background())
			var mine []permit
			for i := w; i < len(permits); i += permitWriters {
				mine = append(mine, permits[i])
			}
			for len(mine) > 0 {
				n := min(1+random.IntN(200), len(mine))
				insertPermits(t, conn, mine[:n], random)
				mine = mine[n:]
			}
			for i := w; i < permitChanged; i += permitWriters {
				for k := range 1 + i%permitChanges {
					state := []string{"ACTIVE", "SUSPENDED", "COMPLETE", "PHASED PERMITTING", "REVOKED"}[(i+k)%5]
					if _, err := conn.Exec(context.Background(), "update permits set s = $1 where n = $2", state, *permits[i].N); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
}

// insertPermits is one transaction; some stay open for a while after their
// time stamps were taken.
func insertPermits(t *testing.T, conn *pgx.Conn, rows []permit, random *rand.Rand) {
	t.Helper()
	ctx := context.Background()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	b := &pgx.Batch{}
	for _, p := range rows {
		b.Queue("insert into permits (n,s,t,r,d,a,w,ca,cn,st,wt,c,lat,lon,gc,go,os,x) values ($1,$2,$3,$4,$5::text::date,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18)",
			p.N, p.S, p.T, p.R, p.D, p.A, p.W, p.CA, p.CN, p.ST, p.WT, p.C, p.LAT, p.LON, p.GC, p.GO, p.OS, p.X)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		t.Error(err)
		return
	}
	if random.IntN(8) == 0 {
		// The transaction stays open in the server: nothing here waits for anybody.
		if _, err := tx.Exec(ctx, "select pg_sleep($1)", float64(random.IntN(300))/1000); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Error(err)
	}
}

// killLeaders kills the leader each time the subscriber has received another
// share of the rows, and starts it again.
func killLeaders(t *testing.T, c *cluster, got *received) {
	for k := range permitKills {
		share := (k + 1) * permitsInFile / (permitKills + 2)
		wait(t, fmt.Sprintf("%d records before kill %d", share, k+1), func(context.Context) error {
			if n := got.count(); n < share {
				return fmt.Errorf("%d received", n)
			}
			return nil
		})
		i := c.leader(t)
		c.nodes[i].kill(t)
		c.nodes[i].run(t)
	}
}

// received is what the subscriber got: the bodies of each key's versions in
// order.
type received struct {
	mu     sync.Mutex
	seen   map[string][]string
	last   uint64
	faults []string
	total  int
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// pull receives until ctx ends. Every seventh page is not acknowledged and must
// come again as it was.
func (r *received) pull(ctx context.Context, t *testing.T, client *api.Client, subscription string) {
	var unacknowledged *api.Page
	for page := 0; ctx.Err() == nil; page++ {
		p, err := client.Pull(ctx, subscription, api.ReadOptions{Limit: 500, Wait: time.Second})
		if err != nil {
			if ctx.Err() == nil {
				t.Logf("pull: %v", err)
			}
			continue
		}
		if unacknowledged != nil {
			r.again(unacknowledged, &p)
			unacknowledged = nil
		} else {
			r.take(&p)
		}
		if len(p.Records) == 0 {
			continue
		}
		if page%7 == 6 {
			unacknowledged = &p
			continue
		}
		for ctx.Err() == nil {
			if err := client.Ack(ctx, subscription, p.Through); err == nil {
				break
			}
		}
	}
}

// again checks that what was not acknowledged came again.
func (r *received) again(before, now *api.Page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(now.Records) < len(before.Records) {
		r.faults = append(r.faults, fmt.Sprintf("%d records came again of %d", len(now.Records), len(before.Records)))
		return
	}
	for i := range before.Records {
		if before.Records[i].Offset != now.Records[i].Offset || !bytes.Equal(before.Records[i].Data, now.Records[i].Data) {
			r.faults = append(r.faults, fmt.Sprintf("offset %d came again as another", before.Records[i].Offset))
		}
	}
}

func (r *received) take(p *api.Page) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range p.Records {
		rec := &p.Records[i]
		if rec.Offset != r.last+1 {
			r.faults = append(r.faults, fmt.Sprintf("offset %d after %d", rec.Offset, r.last))
		}
		r.last = rec.Offset
		versions := r.seen[rec.Key]
		if rec.Version != uint64(len(versions))+1 {
			r.faults = append(r.faults, fmt.Sprintf("version %d of %s after %d", rec.Version, rec.Key, len(versions)))
		}
		if n := len(versions); n > 0 && versions[n-1] == string(rec.Data) {
			r.faults = append(r.faults, fmt.Sprintf("versions %d and %d of %s are equal", n, n+1, rec.Key))
		}
		r.seen[rec.Key] = append(versions, string(rec.Data))
		r.total++
	}
}

// row is what the table says in the end.
type row struct {
	state string // as the mapping writes it
	task  string
	place string
}

// statesOfPermits is the table of the mapping, written once more.
var statesOfPermits = map[string]string{"": "收件", "ACTIVE": "办理中", "COMPLETE": "办结准予", "SUSPENDED": "计时暂停", "PHASED PERMITTING": "受理", "CANCELLED": "撤回", "REVOKED": "作废"}

func tableOfPermits(t *testing.T, pg sqlpolltest.Postgres) map[string]row {
	t.Helper()
	rows, err := pg.Connect(t).Query(context.Background(), "select n, coalesce(s, ''), coalesce(t, ''), coalesce(a, '') from permits")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]row{}
	var n, s string
	var r row
	if _, err := pgx.ForEachRow(rows, []any{&n, &s, &r.task, &r.place}, func() error {
		state, ok := statesOfPermits[strings.TrimSpace(s)]
		if !ok {
			return fmt.Errorf("state %q is not in the table", s)
		}
		out[n] = row{state, strings.Join(strings.Fields(r.task), " "), strings.Join(strings.Fields(r.place), " ")}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(out) != permitsInFile {
		t.Fatalf("%d rows in the table", len(out))
	}
	return out
}

// agrees says what is not yet as the table has it.
func (r *received) agrees(want map[string]row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	wrong := 0
	example := ""
	for key, w := range want {
		versions := r.seen[key]
		if len(versions) == 0 || !w.matches(versions[len(versions)-1]) {
			wrong++
			example = key
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d keys are not as the table has them, for example %s: %v want %+v", wrong, len(want), example, r.seen[example], want[example])
	}
	return nil
}

func (w row) matches(body string) bool {
	var got struct {
		Status   string `json:"status"`
		TaskName string `json:"task_name"`
		Location string `json:"location"`
	}
	err := json.Unmarshal([]byte(body), &got)
	return err == nil && got.Status == w.state && strings.Join(strings.Fields(got.TaskName), " ") == w.task && strings.Join(strings.Fields(got.Location), " ") == w.place
}

// check looks at everything that was received.
func (r *received) check(t *testing.T, want map[string]row) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.faults {
		if i == 20 {
			t.Errorf("… %d more", len(r.faults)-i)
			break
		}
		t.Error(f)
	}
	if len(r.seen) != len(want) {
		t.Errorf("%d keys received, %d rows in the table", len(r.seen), len(want))
	}
	noState, changed := 0, 0
	for _, versions := range r.seen {
		if strings.Contains(versions[0], `"status":"收件"`) {
			noState++
		}
		if len(versions) > 1 {
			changed++
		}
	}
	t.Logf("%d records of %d keys, %d of them with more than one version, %d first seen without a status", r.total, len(r.seen), changed, noState)
}

// verifySome verifies ten permits offline.
func verifySome(t *testing.T, c *cluster, want map[string]row) {
	t.Helper()
	trust := filepath.Join(c.dir, "trust")
	c.ctl(t, "admin", "audit", "trust", "-o", trust)
	n := 0
	for key := range want {
		if n == 10 {
			break
		}
		n++
		file := filepath.Join(c.dir, "permit.hev")
		c.ctl(t, "czj.budget", "audit", "evidence", "approvals.case", key, "-o", file)
		out := run(t, "hutongctl", "audit", "verify", file, "--trust", trust)
		if !strings.Contains(out, "结论:有效") {
			t.Errorf("permit %s does not verify:\n%s", key, out)
		}
	}
}

// adapterAddsUp checks the counting equation of the adapter's own counters.
func adapterAddsUp(t *testing.T, _ *cluster, config string) {
	t.Helper()
	out, errs, code := try(t, "hutong-adapter", "status", "-config", config)
	if code != 0 {
		t.Fatalf("status: exit %d\n%s%s", code, out, errs)
	}
	t.Logf("adapter status:\n%s", out)
}
