#!/usr/bin/env bash
# Generates gen/ from proto/: Go, gRPC, grpc-gateway, OpenAPI 3.1, TypeScript types. Works offline once the tools are there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/install-tools.sh"
export PATH=$root/.cache/bin:$root/scripts/tools/node_modules/.bin:$PATH
cd "$root/gen"
find . -type f ! -name go.mod ! -name go.sum ! -name README.md -delete
find . -mindepth 1 -type d -empty -delete
(cd "$root/proto" && buf generate)
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
mv openapi/trainyard "$parts/" && mkdir -p openapi
mapfile -t files < <(find "$parts" -name '*.json' | sort)
openapiv3-merge "${files[@]}" >openapi/trainyard.openapi.json
sed -i '0,/"title": "[a-z]*"/s//"title": "Trainyard"/' openapi/trainyard.openapi.json
mkdir -p ts
openapi-typescript openapi/trainyard.openapi.json -o ts/openapi.d.ts >/dev/null
