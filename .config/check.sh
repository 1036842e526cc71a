#!/usr/bin/env bash
# Every static check, one line a step. All steps run even when one fails, so one run shows every fault.
set -u
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
failed=()

step() {
  local name=$1 started=$SECONDS
  shift
  echo "=== $name"
  if "$@"; then
    echo "    $name: ok ($((SECONDS - started)) s)"
  else
    echo "    $name: FAILED ($((SECONDS - started)) s)"
    failed+=("$name")
  fi
}

step 'types' tsc -b
step 'types of the tools' tsc -p .config
step 'lint and file size' npm run --silent lint
step 'format' prettier --check --log-level warn .
step 'unused code' knip --config .config/knip.json --no-progress --no-config-hints
step 'import direction and circles' depcruise --config .config/dependency-cruiser.js shared control-plane data-plane test
step 'schema.graphql is fresh' npm run --silent schema:check
step 'price list is fresh' node control-plane/dist/catalogue/update.js --check
step 'configuration tables are fresh' npm run --silent docs:check
step 'compose file' dclint --config .config/dclint.yaml --max-warnings 0 docker-compose.yml
# `npm ci` refuses a lock file that lacks a platform's optional package, which `npm install` leaves out when the
# registry does not have that version.
step 'lock file fits npm ci' npm ci --dry-run --ignore-scripts --no-audit --no-fund --loglevel error
step 'known vulnerabilities' node .config/audit.mjs

if ((${#failed[@]})); then
  printf 'check failed: %s\n' "$(IFS=,; echo "${failed[*]}")"
  exit 1
fi
echo 'check passed'
