#!/usr/bin/env bash
# Build the wheel, install it in a fresh environment outside the source tree, and use it there.
#
#     tests/wheel/check_wheel.sh .venv/bin/python
#
# Dependencies are borrowed from the given Python's environment; its editable install of MergeGraph is not, because files
# named *.pth count in an environment's own site-packages only.
set -euo pipefail
unset PYTHONPATH

python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

"$python" -m build --outdir "$work/dist" "$root" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$work"/dist/*.whl
packages "$python" > "$(packages "$work/venv/bin/python")/borrowed.pth"

mkdir "$work/elsewhere"
cp "$root/examples/minilm.merge" "$work/elsewhere"
cd "$work/elsewhere"
PATH=$work/venv/bin:$PATH

python -c 'import mergegraph, sys; assert mergegraph.__file__.startswith(sys.prefix), mergegraph.__file__'
mergegraph --help > /dev/null
mergegraph fmt minilm.merge > /dev/null
mergegraph check minilm.merge > /dev/null
mergegraph schema > /dev/null
python -c 'from pygments.lexers import get_lexer_by_name; get_lexer_by_name("mergegraph")'
mergegraph graph minilm.merge -o page.html > /dev/null
echo "the wheel works outside the source tree"
