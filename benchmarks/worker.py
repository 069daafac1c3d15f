"""A process that has one variant loaded: ``python -m benchmarks.worker VARIANT USER``."""

from __future__ import annotations

import gc
import sys
from typing import Any

from ckan import model

from . import belongings
from .serving import serve
from .site import load_site
from .variants import VARIANTS, Variant
from .work import Work


class Worker:
    """Does what commands say; each method but ``answer`` is one."""

    def __init__(self, variant: Variant, user: str) -> None:
        self._user = user
        self._app = load_site(variant)
        self._work = Work(user, variant.calls_transfer)

    def answer(self, command: dict[str, Any]) -> Any:
        with self._app.test_request_context():
            try:
                return getattr(self, command.pop("do"))(**command)
            finally:
                model.Session.remove()

    def people(self) -> None:
        belongings.make_people(self._user)

    def dataset(self, name: str, resources: int) -> str:
        return belongings.make_dataset(name, self._user, resources)

    def files(self, count: int) -> list[str]:
        return belongings.make_files(count, self._user)

    def analyze(self) -> None:
        belongings.analyze()

    def update(self, **arguments: Any) -> dict[str, Any]:
        return self._work.do(**arguments)

    def warm(self) -> None:
        """Let the garbage collector leave alone what will stay."""
        gc.collect()
        gc.freeze()

    def parts(self) -> dict[str, float]:
        from . import parts  # needs the extension, which stock CKAN runs without

        return parts.measure(self._user)

    def remove(self) -> None:
        belongings.remove_everything(self._user)


if __name__ == "__main__":
    serve(lambda: Worker(VARIANTS[sys.argv[1]], sys.argv[2]).answer)
