package sqlpoll

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/adaptertest"
	"github.com/hutong-bus/hutong/adapters/sqlpoll/sqlpolltest"
)

func marshal(t *testing.T, conf map[string]any) json.RawMessage {
	t.Helper()
	conf["kind"] = Name
	raw, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var badConfigs = []json.RawMessage{
	json.RawMessage(`{}`), json.RawMessage(`{"kind":"sqlpoll","driver":"oracle","table":"t","id":"i"}`),
	json.RawMessage(`{"kind":"sqlpoll","driver":"sqlite","file":"f","table":"t","id":"i","x":1}`), json.RawMessage(`[`),
}

func TestAcceptanceSQLite(t *testing.T) {
	adaptertest.Run(t, adaptertest.Subject{BadConfigs: badConfigs, World: func(t *testing.T) adaptertest.World {
		db, path := newSQLite(t, casesTable)
		for i := range 11 { // three of each second
			exec(t, db, fmt.Sprintf(`INSERT INTO cases VALUES ('A%02d', '第%d件', '2025-03-01 08:00:%02d')`, i, i, i/3))
		}
		if err := db.Close(); err != nil { // its goroutine is not the source's
			t.Fatal(err)
		}
		return adaptertest.World{Kind: Kind(), Config: marshal(t, sqliteConf(path)), Env: adapters.Env{Stream: adapters.Stream{Name: "s"}}, Rows: 11}
	}})
}

func TestAcceptancePostgres(t *testing.T) {
	pg := sqlpolltest.StartPostgres(t)
	for name, more := range map[string]map[string]any{"horizon": nil, "overlap": {"overlap": "1m"}} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Subject{BadConfigs: badConfigs, World: func(t *testing.T) adaptertest.World {
				pg.Exec(t, `DROP TABLE IF EXISTS cases`, pgCases, `INSERT INTO cases(no, status, changed)
					SELECT n, '件' || n, '2025-03-01 08:00:00+08'::timestamptz + (n / 3) * interval '1 second' FROM generate_series(1, 11) n`)
				return adaptertest.World{Kind: Kind(), Config: marshal(t, pgConf(pg.DSN, more)), Env: adapters.Env{Stream: adapters.Stream{Name: "s"}}, Rows: 11,
					Tick: func() { time.Sleep(10 * time.Millisecond) }} // the server's clock, not ours, has to pass the settling time
			}})
		})
	}
}
