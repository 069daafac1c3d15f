"""A process that does what it is told; ``crew.Hand`` tells it.

Reads commands from its standard input and answers each, one line of JSON for
each. What CKAN prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO


def serve(prepare: Callable[[], Callable[[dict[str, Any]], Any]]) -> None:
    """Answer commands until there are no more, by what ``prepare`` returns."""
    answers = _own_output()
    answer = prepare()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def _own_output() -> TextIO:
    """Keep standard output for the answers, and send what anybody prints elsewhere."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return output
