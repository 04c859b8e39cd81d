package node

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/replica"
)

func TestReadConfigListsEveryFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hutongd.yaml")
	write := func(text string) (Config, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return ReadConfig(file)
	}
	const good = "node_id: n1\ndata_dir: data\nlisten: {api: ':7080', node: '127.0.0.1:7081', public: '127.0.0.1:7082'}\n"
	c, err := write(good)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{NodeID: "n1", DataDir: filepath.Join(filepath.Dir(file), "data"), Listen: Listen{":7080", "127.0.0.1:7081", "127.0.0.1:7082"}, Advertise: Listen{":7080", "127.0.0.1:7081", "127.0.0.1:7082"},
		Raft: Raft{Heartbeat: "500ms"}, Limits: Limits{RecordBytes: 256 << 10, WaitingBytes: 64 << 20}, Disk: Disk{80, 90, 95}, Feed: Feed{Date: "2026-01-01"}, Log: LogConfig{"info", "text"}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	_, err = write(`
node_id: "N 1"
listen: {api: nowhere, node: "127.0.0.1:0", public: "127.0.0.1:99999"}
advertise: {api: "x"}
tls: {cert_file: a.pem}
raft: {heartbeat: 1ms}
limits: {record_bytes: 9999999, waiting_bytes: 5, requests_per_s: -1}
disk: {warn: 90, slow: 80, refuse: 100}
feed: {date: yesterday, base: ftp://x}
log: {level: loud, format: xml}
`)
	for _, fault := range []string{"node_id", "data_dir", "listen.api", "listen.node", "listen.public", "advertise.api", "tls", "raft.heartbeat", "record_bytes", "waiting_bytes", "requests_per_s", "disk", "feed", "log.level", "log.format"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s is not named in: %v", fault, err)
		}
	}
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), file) {
		t.Errorf("the file is not named: %v", err)
	}
	for name, text := range map[string]string{
		"unknown key": good + "colour: red\n", "unknown nested key": good + "raft: {speed: 9}\n", "no YAML": "{", "a key twice": good + "node_id: n2\n",
		"two listeners on one address": strings.Replace(good, "7082", "7081", 1),
	} {
		if _, err := write(text); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadConfig(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrConfig) {
		t.Errorf("no file: %v", err)
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "county")
	if err := Init(InitOptions{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, dir)
	if err := Init(InitOptions{Dir: dir}); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if diff := cmp.Diff(before, readAll(t, dir)); diff != "" {
		t.Errorf("the refused init changed something (-before +after):\n%s", diff)
	}
	// A folder without its hutongd.yaml was not finished; its keys are kept all the same.
	if err := os.Remove(filepath.Join(dir, "hutongd.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := Init(InitOptions{Dir: dir}); err == nil {
		t.Error("init writes over keys")
	}
	for _, secret := range []string{"contexts.yaml", "data/bootstrap.json"} {
		info, err := os.Stat(filepath.Join(dir, secret))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v, %v", secret, info.Mode(), err)
		}
	}
	if strings.Contains(before["data/bootstrap.json"], "hk_") || strings.Contains(before["hutongd.yaml"], "hk_") || !strings.Contains(before["contexts.yaml"], "hk_") {
		t.Error("the administrator's key belongs into contexts.yaml and nowhere else")
	}
	for name, text := range map[string]string{"no bundle": "", "empty": "", "no JSON": "x", "an object": "{}"} {
		file := filepath.Join(t.TempDir(), "bundle")
		if name != "no bundle" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		into := filepath.Join(t.TempDir(), "n2")
		if err := Init(InitOptions{Dir: into, Join: file}); err == nil {
			t.Errorf("%s: joined", name)
		}
		if _, err := os.Stat(filepath.Join(into, "hutongd.yaml")); err == nil {
			t.Errorf("%s: a configuration was written", name)
		}
	}
}

// readAll is every file below a folder.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDisks(t *testing.T) {
	voter := func(freePercent uint64) replica.Node {
		return replica.Node{Voter: true, TotalBytes: 1000, FreeBytes: 10 * freePercent}
	}
	for _, tt := range []struct {
		name   string
		nodes  []replica.Node
		warned int
		room   exchange.Room
	}{
		{"nobody", nil, 0, exchange.RoomEnough},
		{"one node with room", []replica.Node{voter(21)}, 0, exchange.RoomEnough},
		{"one node warned", []replica.Node{voter(20)}, 1, exchange.RoomEnough},
		{"one node slow", []replica.Node{voter(10)}, 1, exchange.RoomSlow},
		{"one node full", []replica.Node{voter(5)}, 1, exchange.RoomNone},
		{"one full follower of three", []replica.Node{voter(50), voter(50), voter(1)}, 1, exchange.RoomEnough},
		{"two full of three", []replica.Node{voter(50), voter(1), voter(1)}, 2, exchange.RoomNone},
		{"one full and one slow of three", []replica.Node{voter(50), voter(8), voter(1)}, 2, exchange.RoomSlow},
		{"a full node that does not vote", []replica.Node{voter(50), {TotalBytes: 1000}}, 0, exchange.RoomEnough},
		{"a node that was not heard", []replica.Node{voter(50), {Voter: true}}, 0, exchange.RoomEnough},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := disks{marks: Disk{Warn: 80, Slow: 90, Refuse: 95}}
			if warned, room := d.judge(tt.nodes); warned != tt.warned || room != tt.room {
				t.Errorf("%d warned, room %d; want %d, %d", warned, room, tt.warned, tt.room)
			}
			d.look(replica.Status{Nodes: tt.nodes}, slog.New(slog.DiscardHandler))
			if d.Room() != tt.room {
				t.Errorf("room %d after the look", d.Room())
			}
		})
	}
}

func TestLogger(t *testing.T) {
	for _, tt := range []struct {
		config LogConfig
		want   string
	}{
		{LogConfig{"info", "json"}, `"msg":"said"`}, {LogConfig{"info", "text"}, "msg=said"}, {LogConfig{"warn", "text"}, ""},
	} {
		var out bytes.Buffer
		c := Config{Log: tt.config}
		c.Logger(&out).Info("said")
		if got := out.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q", tt.config, got)
		}
	}
}
