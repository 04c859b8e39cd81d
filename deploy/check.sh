#!/usr/bin/env bash
# Installs what the tests need on a machine that has only Go, builds, and runs
# all tests. The README's test command and the check of every change.
#
#   ./deploy/check.sh          everything, under half an hour on two cores
#   SKIP_LINT=1 …              without golangci-lint (its first build takes minutes)
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
want() { command -v "$1" >/dev/null 2>&1; }

step() { printf '\n== %s\n' "$*"; }

step "what the tests need"
missing=()
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
want xmllint || missing+=(libxml2-utils)
want gcc || missing+=(gcc libc6-dev)
if [ "${#missing[@]}" -gt 0 ]; then
  as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
go mod download

step "format and vet"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  printf 'not formatted:\n%s\n' "$unformatted"
  exit 1
fi
go vet ./...

step "build"
CGO_ENABLED=0 go build -o bin/ ./node/hutongd ./adapters/hutong-adapter ./ctl/hutongctl

if [ -z "${SKIP_LINT:-}" ]; then
  step "lint"
  go tool -modfile=deploy/tools/go.mod golangci-lint run ./...
fi

step "tests"
go test -timeout 20m ./...

step "race"
go test -race -short -timeout 20m ./schemas/... ./node/... ./adapters/...

step "the demo, once"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
CGO_ENABLED=0 go run ./deploy/demo -once -dir "$dir"
