#!/usr/bin/env bash
# Bundles Observable Plot for the page of `rollcall report`: npm brings exactly what the
# lockfile names, by checksum, into a directory of its own. Without an argument it
# replaces the bundle that is checked in.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$(realpath -m "${1:-$here/../../pkg/staticpage/assets/plot.min.js}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/{package.json,package-lock.json,entry.js,bundle.mjs} "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --silent
node bundle.mjs "$target"
