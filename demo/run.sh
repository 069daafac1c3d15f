#!/usr/bin/env bash
# Plays the demo: [CKAN=2.12] [SERVE=1] demo/run.sh
#
# SERVE=0 ends after the story, otherwise the site stays up until Ctrl-C.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export SERVE=${SERVE:-1}
# CKAN finds the demo's plugin by the entry point in metadata/.
export PYTHONPATH=$ROOT:$ROOT/demo/metadata${PYTHONPATH:+:$PYTHONPATH}
exec "$ROOT/dev/run.sh" --demo "${CKAN:-2.12}" python -m demo
