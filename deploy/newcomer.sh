#!/usr/bin/env bash
# README's code blocks in one file; a test keeps the two the same. It makes a
# folder county in the current directory and stops the node it started.
set -euo pipefail

go build -o bin/ ./node/hutongd ./adapters/hutong-adapter ./ctl/hutongctl
bin/hutongd init -dir county
bin/hutongd -config county/hutongd.yaml 2>county/log &
node=$!
export HUTONG_CONTEXTS=county/contexts.yaml
bin/hutongctl context test

bin/hutongctl department put -f deploy/examples/newcomer/housing.yaml
bin/hutongctl department put -f deploy/examples/newcomer/finance.yaml
bin/hutongctl system put -f deploy/examples/newcomer/housing-system.yaml
bin/hutongctl system put -f deploy/examples/newcomer/finance-system.yaml
bin/hutongctl resource put -f deploy/examples/newcomer/resource.yaml
bin/hutongctl schema register approvals.case -f schemas/catalog/approvals/case/v1.json

bin/hutongctl credential issue gtfg.approvals --secret-file county/gtfg.key
bin/hutongctl credential issue czj.budget --secret-file county/czj.key
bin/hutongctl context add gtfg --server http://127.0.0.1:7080 --credential-file county/gtfg.key
bin/hutongctl context add czj --server http://127.0.0.1:7080 --credential-file county/czj.key

bin/hutongctl --context gtfg record publish approvals.case -f deploy/examples/newcomer/case-wrong.json || test $? = 2

bin/hutongctl --context gtfg record publish approvals.case -f deploy/examples/newcomer/case.json

bin/hutongctl --context czj grant request -f deploy/examples/newcomer/grant.yaml
bin/hutongctl --context gtfg grant approve czj-cases
bin/hutongctl --context czj subscription create -f deploy/examples/newcomer/subscription.yaml
bin/hutongctl --context czj record pull czj-cases --ack

bin/hutongctl --context gtfg audit evidence approvals.case GTFG-2026-000117 -o county/case.hev
bin/hutongctl audit trust -o county/trust
kill $node && wait $node
bin/hutongctl audit verify county/case.hev --trust county/trust

