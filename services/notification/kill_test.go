//go:build integration

package notification_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// TestKill ends the real process by kill -9, again and again, while publishers publish and watchers watch.
func TestKill(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		dir := t.TempDir()
		binary := filepath.Join(dir, "notification")
		if out, err := exec.Command("go", "build", "-o", binary, "./cmd/notification").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		tokens := filepath.Join(dir, "tokens.json")
		serviceToken, err := auth.AddToken(tokens, "service", "", true)
		if err != nil {
			t.Fatal(err)
		}
		userToken, err := auth.AddToken(tokens, "user", "a", false)
		if err != nil {
			t.Fatal(err)
		}
		addr := freeAddress(t)
		dial := func(token string) notificationv1.NotificationServiceClient {
			conn, err := boot.Dial(addr, token)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return notificationv1.NewNotificationServiceClient(conn)
		}
		service, user := dial(serviceToken), dial(userToken)
		run := func() *exec.Cmd {
			cmd := exec.Command(binary, "--grpc", addr, "--store", dsn, "--auth-tokens", tokens)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd
		}

		const publishers, each = 20, 200
		process := run()
		group, ctx := errgroup.WithContext(t.Context())
		for p := range publishers {
			group.Go(func() error {
				for i := range each {
					for {
						_, err := service.PublishEvents(ctx, publishRequest("a", events(p*each+i, p*each+i+1)...))
						if err == nil {
							break
						}
						if ctx.Err() != nil {
							return err
						}
						time.Sleep(20 * time.Millisecond)
					}
				}
				return nil
			})
		}
		for range 3 {
			group.Go(func() error { return follow(ctx, user, publishers*each) })
		}
		for range 8 {
			time.Sleep(300 * time.Millisecond) // Wherever it is by then.
			_ = process.Process.Kill()
			_ = process.Wait()
			process = run()
		}
		defer func() {
			_ = process.Process.Kill()
			_ = process.Wait()
		}()
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		var log []*notificationv1.Event
		for cursor := ""; len(log) < publishers*each; {
			res, err := user.ListEvents(t.Context(), &notificationv1.ListEventsRequest{Cursor: cursor, PageSize: 1000}, grpc.WaitForReady(true))
			if err != nil || len(res.GetEvents()) == 0 {
				t.Fatalf("after %d events: %v", len(log), err)
			}
			log, cursor = append(log, res.GetEvents()...), res.GetNextCursor()
		}
		expectNumbered(t, log, publishers*each)
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
