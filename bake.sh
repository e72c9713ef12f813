#!/usr/bin/env bash
# Builds the operators' images, pushes and pulls them: short for `interactem operator build|push|pull`.
# ./bake --help says how; without one of these words in front, `build` is meant.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

if [ -x "$here/.venv/bin/interactem" ]; then
  interactem=$here/.venv/bin/interactem
elif ! interactem=$(command -v interactem); then
  make --no-print-directory -C "$here" .venv/installed >&2
  interactem=$here/.venv/bin/interactem
fi

action=build
case "${1:-}" in build | push | pull)
  action=$1
  shift
  ;;
esac
cd "$here"
exec "$interactem" operator "$action" "$@"
