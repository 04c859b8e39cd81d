package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/adapters/outbox"
	"github.com/hutong-bus/hutong/adapters/runner"
)

// box opens the adapter's outbox.
func (a *app) box() (*outbox.Box, error) {
	return outbox.Open(outbox.Options{Dir: a.conf.Path(a.conf.Outbox.Dir), Producer: a.conf.Producer(), MaxBytes: int64(a.conf.Outbox.MaxBytes),
		Rand: rand.Reader, Logger: a.log})
}

// runAdapter pumps until ctx ends or, with -once, until everything is done.
func (a *app) runAdapter(ctx context.Context) error {
	b, err := newBus(a.conf, callTimeout)
	if err != nil {
		return err
	}
	box, err := a.box()
	if err != nil {
		return err
	}
	r := runner.New(runner.Config{Adapter: a.conf, Kinds: kinds, Bus: b, Box: box, Log: a.log, Once: a.once,
		Judge: func(s adapters.StreamConfig, schema runner.Schema) (adapters.Judge, error) {
			return judge(a.conf, s, schema)
		}})
	err = r.Run(ctx)
	if errors.Is(err, runner.ErrHalted) {
		if st, serr := r.Status(); serr == nil {
			fmt.Fprint(a.err, st.Text())
		}
	}
	return errors.Join(err, box.Close())
}

// status reads the outbox, or, while an adapter has it open, what that adapter
// wrote last.
func (a *app) status(context.Context) error {
	if !outbox.Exists(a.conf.Path(a.conf.Outbox.Dir)) {
		fmt.Fprintln(a.err, "还没有发件箱:适配器尚未运行过 / there is no outbox yet: the adapter has never run")
		return errFound
	}
	st, err := a.readStatus()
	if err != nil {
		return err
	}
	if a.form == "json" {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		if err := e.Encode(st); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
		return nil
	}
	fmt.Fprint(a.out, st.Text())
	return nil
}

func (a *app) readStatus() (runner.Status, error) {
	box, err := a.box()
	if errors.Is(err, outbox.ErrLocked) {
		return runner.ReadStatus(a.conf)
	}
	if err != nil {
		return runner.Status{}, err
	}
	st, err := runner.BoxStatus(a.conf, box, time.Now())
	if last, lerr := runner.ReadStatus(a.conf); lerr == nil { // it may never have been written
		st.Remember(last)
	}
	return st, errors.Join(err, box.Close())
}
