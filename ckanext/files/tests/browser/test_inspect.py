"""The inspection of pages finds what it looks for."""

from __future__ import annotations

import pytest
from selenium.common.exceptions import StaleElementReferenceException

from ckanext.files.tests.support.browser import Browser, with_javascript
from ckanext.files.tests.support.server import CkanServer, CkanServers

FAULTS = {
    "accessibility violations": "part.innerHTML = '<input type=text>'",
    "wider than the space": "part.innerHTML = '<p style=\"width: 50em\">text</p>'",
    "of 360 pixels": "part.style.width = '50em'",
    "it fails": "console.error('it fails')",
}


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    return lasting_servers.start({})


REPLACE = "document.querySelector('h1').outerHTML = '<h1>New</h1>'"


@with_javascript
def test_a_replaced_element_is_found_again(browser: Browser) -> None:
    browser.go("/about")
    every = browser.find_all("h1")
    for read in (
        lambda heading: heading.text == "New",
        lambda heading: heading.get_attribute("outerHTML") == "<h1>New</h1>",
        lambda heading: heading.is_displayed(),
    ):
        heading = browser.find("h1")
        browser.driver.execute_script(REPLACE)
        assert read(heading)
    with pytest.raises(StaleElementReferenceException):
        every[0].click()


@with_javascript
@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_is_found(message: str, browser: Browser) -> None:
    browser.go("/about")
    browser.driver.execute_script("""
        const part = document.createElement('div')
        part.id = 'part'
        part.textContent = 'text'
        document.querySelector('main, [role=main], .main').append(part)
    """)
    browser.inspect("#part")
    part = "const part = document.getElementById('part')"
    browser.driver.execute_script(f"{part}; {FAULTS[message]}")
    with pytest.raises(AssertionError, match=message):
        browser.inspect("#part")
