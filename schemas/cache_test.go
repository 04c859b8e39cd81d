package schemas

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestCacheKeepsTheRecentlyUsed(t *testing.T) {
	raw := object(`"a":{"title":"甲","type":"integer"}`)
	size := compiled(t, raw).Size()
	c := NewCache(3 * size)
	loads := map[uint32]int{}
	get := func(version uint32) {
		t.Helper()
		s, err := c.Get("a.b", version, func() ([]byte, error) { loads[version]++; return raw, nil })
		if err != nil || s.Version() != version {
			t.Fatalf("Get %d: %v %v", version, s, err)
		}
	}
	for _, version := range []uint32{1, 2, 3, 1, 4, 1, 2} {
		get(version)
	}
	// 4 pushed 2 out, as 1 had been used since; the second 2 pushed 3 out.
	for version, want := range map[uint32]int{1: 1, 2: 2, 3: 1, 4: 1} {
		if loads[version] != want {
			t.Errorf("version %d was loaded %d times, want %d", version, loads[version], want)
		}
	}
	if bytes, n := c.Bytes(); bytes != 3*size || n != 3 {
		t.Errorf("the cache holds %d bytes in %d schemas", bytes, n)
	}
	small := NewCache(1)
	for range 2 {
		if _, err := small.Get("a.b", 9, func() ([]byte, error) { loads[9]++; return raw, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if loads[9] != 1 {
		t.Error("the schema used last did not stay")
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	c := NewCache(0)
	broken := errors.New("broken disk")
	if _, err := c.Get("a.b", 1, func() ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("err = %v, want the loader's", err)
	}
	if _, err := c.Get("a.b", 1, func() ([]byte, error) { return []byte(`{}`), nil }); !errors.Is(err, ErrProfile) {
		t.Errorf("err = %v, want ErrProfile", err)
	}
	if _, err := c.Get("a.b", 1, func() ([]byte, error) { return object(``), nil }); err != nil {
		t.Errorf("after errors: %v", err)
	}
}

func TestCacheCompilesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(0)
		var loads atomic.Int32
		release := make(chan struct{})
		var all sync.WaitGroup
		for range 20 {
			// Stops when the loader is released.
			all.Go(func() {
				if _, err := c.Get("a.b", 1, func() ([]byte, error) { loads.Add(1); <-release; return object(``), nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if loads.Load() != 1 {
			t.Errorf("loaded %d times", loads.Load())
		}
	})
}

func TestCacheOutlivesALoaderThatPanics(t *testing.T) {
	c := NewCache(0)
	func() {
		defer func() { _ = recover() }()
		_, _ = c.Get("a.b", 1, func() ([]byte, error) { panic("loader") })
	}()
	if _, err := c.Get("a.b", 1, func() ([]byte, error) { return object(``), nil }); err != nil {
		t.Error(err)
	}
}

func ExampleCompile() {
	s, err := Compile("demo.visit", 1, []byte(`{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "来访", "type": "object", "additionalProperties": false,
		"required": ["visit_no"], "properties": {
			"visit_no": {"title": "来访编号", "type": "string", "maxLength": 20},
			"people": {"title": "人数", "type": "integer", "minimum": 1, "maximum": 50}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range s.Explain(s.Validate(map[string]any{"people": "三人"}).Violations, Chinese) {
		fmt.Println(v.Message)
	}
	// Output:
	// “人数”:应为1至50的整数。改法:填1至50的数字
	// “来访编号”:必填。改法:补填这一项
}
