#!/usr/bin/env bash
# Checks the walls between packages: no service imports another, and formats and TFRecord know nothing of AWS, gRPC or logs.
set -euo pipefail
cd "$(dirname "$0")/../services"
module=github.com/trainyard/trainyard/services
bad=0
complain() {
	echo "$1" >&2
	bad=1
}
for service in ingest converter training notification gateway localcloud; do
	others=$(printf '%s\n' ingest converter training notification gateway localcloud trainyard | grep -vx "$service" | paste -sd'|')
	found=$(go list -f '{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}' "./$service/..." | grep -E " $module/($others)(/|\$)" || true)
	[ -z "$found" ] || complain "a service imports another; they meet in gen:
$found"
done
for package in ./converter/tfrecord ./converter/dataset/... ./converter/archive ./converter/convert ./converter/reject; do
	found=$(go list -f '{{$p := .ImportPath}}{{range .Deps}}{{$p}} {{.}}{{"\n"}}{{end}}' "$package" | grep -E ' (github.com/aws/|google.golang.org/grpc|go.uber.org/zap)' || true)
	[ -z "$found" ] || complain "the conversion engine must not know AWS, gRPC or zap:
$found"
done
exit $bad
