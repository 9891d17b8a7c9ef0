#!/usr/bin/env bash
# Makes vendor.js, vendor.css and LICENSES.txt again: the libraries that pages share, in one file.
# It needs npm, and the network. Nothing else of minigrad is built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm install --silent --no-fund --no-audit --ignore-scripts \
    d3-axis@3.0.1 d3-scale@4.0.3 d3-selection@3.0.1 d3-zoom@3.0.1 uplot@1.6.32
licences=$(md5sum node_modules/*/LICENSE)
npm install --silent --no-fund --no-audit --no-save --ignore-scripts esbuild@0.28.2

cat > vendor.mjs <<'END'
import * as axis from "d3-axis";
import * as scale from "d3-scale";
import * as selection from "d3-selection";
import * as zoom from "d3-zoom";
export { default as uPlot } from "uplot";
export const d3 = { ...axis, ...scale, ...selection, ...zoom };
END
node_modules/.bin/esbuild vendor.mjs --bundle --minify --legal-comments=none --log-level=warning \
    --format=iife --global-name=vendor --target=es2020 --outfile="$here/vendor.js"
cp node_modules/uplot/dist/uPlot.min.css "$here/vendor.css"

# Each licence once, below the packages that it is for.
for sum in $(cut -d" " -f1 <<< "$licences" | sort -u); do
    files=$(awk -v sum="$sum" '$1 == sum { print $2 }' <<< "$licences")
    for file in $files; do
        node -p "const p = require('./$(dirname "$file")/package.json'); p.name + ' ' + p.version"
    done
    printf '\n%s\n\n\n' "$(cat "${files%%$'\n'*}")"
done > "$here/LICENSES.txt"
