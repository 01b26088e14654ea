package grpcapi

import (
	"cmp"
	"context"
	"maps"
	"slices"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/reject"
)

const (
	maxClasses = 1000 // in one answer
	maxValues  = 100  // of one property
)

// GetStatistics says what is in a version and what was left out.
func (s *Server) GetStatistics(ctx context.Context, req *converterv1.GetStatisticsRequest) (*converterv1.GetStatisticsResponse, error) {
	var manifest convert.Manifest
	var report convert.Report
	if _, err := s.document(ctx, req.GetName(), convert.ManifestName, &manifest); err != nil {
		return nil, toStatus(err)
	}
	if _, err := s.document(ctx, req.GetName(), convert.ReportName, &report); err != nil {
		return nil, toStatus(err)
	}
	return &converterv1.GetStatisticsResponse{Statistics: statistics(&manifest, &report)}, nil
}

func statistics(m *convert.Manifest, r *convert.Report) *converterv1.Statistics {
	out := &converterv1.Statistics{
		Found: tally(r.Found), Kept: tally(r.Kept), LeftOut: tally(r.LeftOut),
		FormatReason: r.Format.Reason, OtherFormats: r.Format.Others, Warnings: r.Warnings,
		Duplicates: &converterv1.Statistics_Duplicates{Sampled: r.Duplicates.Sampled, Examples: r.Duplicates.Examples, AcrossSplits: r.Duplicates.AcrossSplits},
		ClassCount: int32(len(m.Classes)), SourceBytes: m.Statistics.SourceBytes, //nolint:gosec // At most 100,000.
	}
	for _, by := range []struct {
		kind   string
		counts reject.Counts
	}{{"file", r.Reasons.Files}, {"row", r.Reasons.Rows}, {"annotation", r.Reasons.Annotations}} {
		for _, reason := range slices.Sorted(maps.Keys(by.counts)) {
			out.Reasons = append(out.Reasons, &converterv1.Statistics_ReasonCount{Kind: by.kind, Reason: string(reason), Count: by.counts[reason]})
		}
	}
	for _, split := range m.Splits {
		out.Splits = append(out.Splits, &converterv1.Statistics_SplitStatistics{Name: string(split.Name), ExampleCount: split.Examples, SizeBytes: split.Bytes})
	}
	for i, class := range m.Classes[:min(len(m.Classes), maxClasses)] {
		c := &converterv1.Statistics_ClassStatistics{Name: class.Name, ExampleCount: class.Examples, ObjectCount: class.Objects}
		for _, split := range m.Splits {
			c.BySplit = append(c.BySplit, split.Classes[i])
		}
		out.Classes = append(out.Classes, c)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Statistics.Numbers)) {
		n := m.Statistics.Numbers[name]
		out.Numbers = append(out.Numbers, &converterv1.Statistics_NumberStatistics{
			Name: name, Count: n.Count, Min: n.Min, Max: n.Max, Mean: n.Mean, Quantiles: []float64{n.P05, n.P25, n.Median, n.P75, n.P95}, Histogram: n.Histogram,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Statistics.Counts)) {
		counts := m.Statistics.Counts[name]
		values := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
		c := &converterv1.Statistics_CountStatistics{Name: name}
		for _, v := range values[:min(len(values), maxValues)] {
			c.Values = append(c.Values, &converterv1.Statistics_ValueCount{Value: v, Count: counts[v]})
		}
		out.Counts = append(out.Counts, c)
	}
	return out
}

func tally(t convert.Tally) *converterv1.Statistics_Tally {
	return &converterv1.Statistics_Tally{Files: t.Files, Rows: t.Rows, Annotations: t.Annotations}
}
