#!/usr/bin/env bash
# Plays the demo: [SERVE=1] demo/run.sh VERSION
#
# SERVE=0 ends after the story, otherwise the site stays up until Ctrl-C.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SERVE=${SERVE:-1}
# CKAN finds the demo's plugin by the entry point in metadata/.
export PYTHONPATH=$ROOT:$ROOT/demo/metadata${PYTHONPATH:+:$PYTHONPATH}
exec "$ROOT/dev/run.sh" --demo "$1" python -m demo
