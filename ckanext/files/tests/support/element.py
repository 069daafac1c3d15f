"""Elements of pages whose scripts replace parts at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

_STALE = "does not belong to the document"
"""What chromedriver says of some stale elements: github.com/SeleniumHQ/selenium/issues/15401."""


class Element(WebElement):
    """An element that is found again by its selector when a script has replaced it.

    htmx replaces the parts of a page that poll, at any time between finding and reading. On the
    next page it is what has the selector there: see ``Browser.next_page``.
    """

    selector = ""

    def _execute(self, command: str, params: dict[str, Any] | None = None) -> Any:
        return self._again(super()._execute, command, params)

    # Selenium runs a script for these two

    def get_attribute(self, name: str) -> str | None:
        return self._again(super().get_attribute, name)

    def is_displayed(self) -> bool:
        return self._again(super().is_displayed)

    def _again(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with _told_as_stale():
                return ask(*arguments)
        except StaleElementReferenceException:
            if not self.selector:
                raise
        self._id = self.parent.find_element(By.CSS_SELECTOR, self.selector).id
        with _told_as_stale():
            return ask(*arguments)


@contextmanager
def _told_as_stale() -> Iterator[None]:
    """Raise Selenium's error of stale elements also where chromedriver has other words for it."""
    try:
        yield
    except WebDriverException as error:
        if _STALE in str(error.msg):
            raise StaleElementReferenceException(error.msg) from error
        raise
