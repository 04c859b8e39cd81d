package replica

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClockStamp(t *testing.T) {
	type heard map[string]time.Duration // offset to the own clock
	tests := []struct {
		name   string
		voters []string
		heard  heard
		age    time.Duration // since they were heard
		last   time.Duration // newest log time, to the own clock
		want   time.Duration // stamp, to the own clock
	}{
		{"alone", []string{"a"}, nil, 0, -time.Hour, 0},
		{"alone, log ahead", []string{"a"}, nil, 0, time.Hour, time.Hour},
		{"three, own is the median", []string{"a", "b", "c"}, heard{"b": 5 * time.Second, "c": -7 * time.Second}, 0, -time.Hour, 0},
		{"three, own is ahead", []string{"a", "b", "c"}, heard{"b": -50 * time.Second, "c": -60 * time.Second}, 0, -time.Hour, -50 * time.Second},
		{"two of three: the lower middle", []string{"a", "b", "c"}, heard{"b": -8 * time.Second}, 0, -time.Hour, -8 * time.Second},
		{"two of three: the own is lower", []string{"a", "b", "c"}, heard{"b": 8 * time.Second}, 0, -time.Hour, 0},
		{"one of three: last and monotonic", []string{"a", "b", "c"}, nil, 0, -time.Hour, -time.Hour},
		{"heard too long ago", []string{"a", "b", "c"}, heard{"b": time.Second, "c": time.Second}, 4 * time.Second, -time.Hour, -time.Hour + 4*time.Second},
		{"never back", []string{"a", "b", "c"}, heard{"b": -time.Minute, "c": -time.Minute}, 0, 0, 0},
		{"strangers do not count", []string{"a", "b", "c"}, heard{"x": time.Minute, "y": time.Minute}, 0, -time.Hour, -time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				c := newClock("a", time.Now, now.Add(tt.last).UnixMilli())
				for n, off := range tt.heard {
					c.hear(n, now.Add(off).UnixMilli(), now)
				}
				time.Sleep(tt.age)
				base := now
				if tt.want > -time.Hour+10*time.Second && tt.want < time.Hour && tt.age == 0 {
					base = time.Now()
				}
				if got := time.UnixMilli(c.stamp(tt.voters)).Sub(time.UnixMilli(base.UnixMilli())); got != tt.want {
					t.Errorf("stamped %s off, want %s", got, tt.want)
				}
			})
		})
	}
}

// A node that is alone does not follow its clock when that is set while it runs.
func TestClockJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set time.Duration
		now := func() time.Time { return time.Now().Add(set) }
		c := newClock("a", now, 0)
		before := c.stamp([]string{"a"})
		time.Sleep(time.Second)
		c.sample()
		set = time.Hour
		c.sample()
		time.Sleep(time.Second)
		c.sample()
		if got := c.stamp([]string{"a"}) - before; got < 1900 || got > 2100 {
			t.Errorf("%d ms after two seconds", got)
		}
		if _, _, jumped := c.offset([]string{"a"}); !jumped {
			t.Error("the jump is not told")
		}
	})
}

func TestClockNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock("a", time.Now, 1000)
		time.Sleep(3 * time.Second)
		if got := c.logNow(); got != 4000 {
			t.Errorf("%d, want 4000", got)
		}
		c.applied(9000)
		time.Sleep(time.Second)
		if got := c.logNow(); got != 10000 {
			t.Errorf("%d, want 10000", got)
		}
		c.applied(8000) // replayed: not the newest
		if got := c.logNow(); got != 10000 {
			t.Errorf("%d, want 10000", got)
		}
	})
}

func TestFreshness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &freshness{}
		fresh := func(applied uint64) bool {
			err := f.check(applied)
			if err != nil && !errors.Is(err, ErrNotFresh) {
				t.Errorf("unnamed error %v", err)
			}
			return err == nil
		}
		want(t, "at the start", fresh(10), false)
		f.learn(time.Now(), 5, 10)
		want(t, "nothing stamped after the start", fresh(10), false)
		f.begin(12)
		want(t, "the start's mark is not applied", fresh(11), false)
		want(t, "applied", fresh(12), true)
		f.learn(time.Now(), 5, 13)
		want(t, "behind the leader", fresh(12), false)
		want(t, "caught up", fresh(13), true)
		time.Sleep(500 * time.Millisecond)
		want(t, "just so", fresh(13), true)
		time.Sleep(time.Millisecond)
		want(t, "asked too long ago", fresh(13), false)
		f.learn(time.Now(), 4, 99) // a leader that was deposed and does not know
		want(t, "an older term", fresh(99), false)
		asked := time.Now()
		time.Sleep(400 * time.Millisecond)
		f.learn(asked, 6, 13) // counts from the asking, not from the answer
		time.Sleep(101 * time.Millisecond)
		want(t, "slow answer", fresh(13), false)
	})
}

func TestVerifierSharesProofs(t *testing.T) {
	n, fail := 0, error(nil)
	v := &verifier{verify: func() error { n++; return fail }}
	start := time.Now()
	for range 3 {
		if err := v.since(start); err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d proofs", n)
	}
	fail = errors.New("deposed")
	if err := v.since(time.Now()); !errors.Is(err, ErrNoLeader) || n != 2 {
		t.Errorf("%v after %d proofs", err, n)
	}
	if err := v.since(start); err != nil {
		t.Errorf("the older proof is forgotten: %v", err)
	}
}
