package testkit

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/trainyard/trainyard/services/localcloud"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
)

// Cloud is a running localcloud with the suite's bucket and queues, gone when the test ends. There can be one in a process at a time, so tests that use
// it don't run in parallel.
type Cloud struct {
	*localcloud.Unit
	localcloud.Resources
	AWS aws.Config
}

// NewCloud starts a localcloud in a temporary folder. configure may change its configuration; it may be nil.
func NewCloud(t testing.TB, configure func(*localcloud.Config)) *Cloud {
	t.Helper()
	cfg := localcloud.Config{DataDir: t.TempDir(), Addr: "127.0.0.1:0"}
	if configure != nil {
		configure(&cfg)
	}
	unit, err := localcloud.New(t.Context(), cfg, localcloud.Deps{Logger: zaptest.NewLogger(t, zaptest.Level(zapcore.WarnLevel))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- unit.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("localcloud: %v", err)
		}
		if err := unit.Close(); err != nil {
			t.Errorf("localcloud: %v", err)
		}
	})
	select {
	case <-unit.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	c := &Cloud{Unit: unit}
	if c.AWS, err = unit.AWS(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Resources, err = localcloud.Provision(t.Context(), c.AWS, nil); err != nil {
		t.Fatal(err)
	}
	return c
}
