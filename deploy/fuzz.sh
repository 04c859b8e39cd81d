#!/usr/bin/env bash
# Runs every fuzz target for a while: ./deploy/fuzz.sh [SECONDS], 20 by default.
# The corpora's seeds run with the ordinary tests; this looks for new ones.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
failed=0
while IFS=: read -r file _ line; do
  target=$(printf '%s' "$line" | sed -E 's/^func (Fuzz[A-Za-z0-9_]+).*/\1/')
  printf '\n== %s %s\n' "$(dirname "$file")" "$target"
  # Minimising an interesting input may eat the whole time; one step is enough.
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1x || failed=1
done < <(git grep -nE '^func Fuzz' -- '*_test.go')
exit "$failed"
