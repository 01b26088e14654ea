// Package grpcapi serves trainyard.notification.v1.
package grpcapi

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/notification/eventlog"
	"github.com/trainyard/trainyard/services/notification/hub"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// latest is the cursor that means from now on.
const latest = "latest"

// maxProject keeps a project's name short enough for a NOTIFY.
const maxProject = 1000

// Config is how watchers are treated.
type Config struct {
	// Heartbeat is how long a watcher hears nothing at most.
	Heartbeat time.Duration
	// SendTimeout is how long a watcher may take none of the replies that wait for it before it is cut off.
	SendTimeout time.Duration
	// Buffer is how many replies may wait for a watcher.
	Buffer int
}

// Server implements NotificationService.
type Server struct {
	notificationv1.UnimplementedNotificationServiceServer

	cfg    Config
	events *eventlog.Log
	hub    *hub.Hub

	appended, duplicates, cutOff prometheus.Counter
	watchers                     prometheus.Gauge
}

// New makes a server. metrics may be nil.
func New(cfg Config, events *eventlog.Log, h *hub.Hub, metrics prometheus.Registerer) *Server {
	factory := promauto.With(metrics)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Namespace: "trainyard", Subsystem: "notification", Name: name, Help: help})
	}
	return &Server{
		cfg: cfg, events: events, hub: h,
		appended:   counter("events_appended_total", "Events appended to logs."),
		duplicates: counter("events_duplicate_total", "Events published again and left out."),
		cutOff:     counter("watchers_cut_off_total", "Watchers cut off because they read too slowly."),
		watchers: factory.NewGauge(prometheus.GaugeOpts{
			Namespace: "trainyard", Subsystem: "notification", Name: "watchers", Help: "Watchers now open.",
		}),
	}
}

// PublishEvents appends events.
func (s *Server) PublishEvents(ctx context.Context, req *notificationv1.PublishEventsRequest) (*notificationv1.PublishEventsResponse, error) {
	if err := auth.RequireService(ctx); err != nil {
		return nil, err
	}
	for _, e := range req.GetEvents() {
		if len(e.GetProject()) > maxProject {
			return nil, apierror.Invalid("events.project", "A project's name has at most 1000 bytes.")
		}
		if proto.Size(e.GetEvent()) > eventlog.MaxEventBytes {
			return nil, apierror.Invalid("events.event", "An event has at most 4 MiB; leave its payload out.")
		}
		if e.GetEvent().GetTime() == nil {
			e.GetEvent().Time = timestamppb.Now()
		}
	}
	grown, added, err := s.events.Append(ctx, req.GetEvents())
	if err != nil {
		return nil, toStatus(err)
	}
	s.hub.Appended(grown)
	s.appended.Add(float64(added))
	s.duplicates.Add(float64(len(req.GetEvents()) - added))
	return &notificationv1.PublishEventsResponse{}, nil
}

// ListEvents reads a page of the caller's log.
func (s *Server) ListEvents(ctx context.Context, req *notificationv1.ListEventsRequest) (*notificationv1.ListEventsResponse, error) {
	project, err := auth.Project(ctx)
	if err != nil {
		return nil, err
	}
	after, err := parseCursor(req.GetCursor())
	if err != nil {
		return nil, toStatus(err)
	}
	limit := min(int(req.GetPageSize()), 1000)
	if limit == 0 {
		limit = 100
	}
	page, err := s.events.Read(ctx, project, after, limit, req.GetResource())
	if err != nil {
		return nil, toStatus(err)
	}
	return &notificationv1.ListEventsResponse{Events: page.Events, NextCursor: formatCursor(page.Next)}, nil
}
