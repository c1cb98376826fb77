#!/usr/bin/env bash
# Writes base.txt and dev.txt from pyproject.toml. Usage: requirements/pin.sh [python]
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-python3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
pip="$work/venv/bin/pip --disable-pip-version-check"

wanted() {
  "$python" - "$1" <<'PYTHON'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
names = project["dependencies"] if sys.argv[1] == "base" else project["optional-dependencies"]["dev"]
print("\n".join(names))
PYTHON
}

head_of() {
  echo "# $1. Written by requirements/pin.sh; see README.md here."
}

wanted base > "$work/base.in"
$pip install --quiet --requirement "$work/base.in"
{ head_of "Everything that serving needs"; $pip freeze; } > "$work/base.txt"

wanted dev > "$work/dev.in"
$pip install --quiet --requirement "$work/dev.in" --constraint "$work/base.txt"
{
  head_of "What tests, lint and types need"
  echo "-r base.txt"
  $pip freeze | grep --invert-match --line-regexp --fixed-strings --file "$work/base.txt"
} > "$work/dev.txt"

mv "$work/base.txt" "$work/dev.txt" requirements/
