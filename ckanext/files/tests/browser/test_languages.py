"""The pages in the languages of the translations, in a real Chromium."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import pytest
from babel.dates import UTC, format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from ckan import model

import ckanext.files
from ckanext.files.background import schema
from ckanext.files.tests.support import portal
from ckanext.files.tests.support.browser import Browser, Person, new_person, with_javascript
from ckanext.files.tests.support.effects import change, engine
from ckanext.files.tests.support.jobs import S
from ckanext.files.tests.support.server import CkanServer, CkanServers

LANGUAGES = ("de", "es", "fr", "ja")
OPTIONS = {
    "ckan.plugins": "files files_background scheming_datasets scheming_nerf_index"
    " files_test_lasting_assets",
    "ckan.locales_offered": f"en {' '.join(LANGUAGES)}",
    "scheming.presets": "ckanext.scheming:presets.json ckanext.files:presets.yaml",
    "scheming.dataset_schemas": "ckanext.files.tests:schemas/preset_dataset.yaml",
}
FOLDER = Path(next(iter(ckanext.files.__path__))) / "i18n"

TEXTS = """
    const found = []
    for (const part of document.querySelectorAll(arguments[0])) {
        const walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT)
        while (walker.nextNode()) found.push(walker.currentNode.data)
        for (const element of part.querySelectorAll('*'))
            for (const name of ['aria-label', 'placeholder', 'title'])
                found.push(element.getAttribute(name) ?? '')
    }
    return found.map(text => text.replace(/\\s+/g, ' ').trim()).filter(text => text)
"""
"""Script that returns the texts of a part of the page, also those for screen readers."""


@pytest.fixture(scope="module")
def site(lasting_servers: CkanServers) -> CkanServer:
    schema.ensure(engine())
    return lasting_servers.start(OPTIONS)


@pytest.fixture(scope="module")
def admin(site: CkanServer) -> Person:
    """A sysadmin with a dataset, pages of files, and two jobs; a worker has died."""
    admin = new_person(site, sysadmin=True)
    portal.upload(admin.name, 21)
    file = admin.upload("levels.csv")
    name = f"d-{uuid.uuid4()}"
    admin.call("package_create", type="files-preset", title="Levels", name=name, attachment=file)
    user = model.User.get(admin.name)
    assert user
    change(f"INSERT INTO {S}.procrastinate_workers DEFAULT VALUES")
    change(f"""
        WITH job AS (
            INSERT INTO {S}.procrastinate_jobs (queue_name, task_name, status)
            VALUES ('default', 'unknown', 'failed'), ('default', 'unknown', 'cancelled')
            RETURNING id)
        INSERT INTO {S}.files_job (job_id, user_id, percent, text)
        SELECT id, '{user.id}', 50, 'levels' FROM job
    """)
    return admin


@pytest.fixture(scope="module", autouse=True)
def logged_in(browser: Browser, admin: Person) -> None:
    browser.log_in(admin.name)


@with_javascript
@pytest.mark.once(reason="the translations and the templates are the same")
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_left_in_english(language: str, browser: Browser, admin: Person) -> None:
    translated = translations(language)
    (dataset,) = admin.call("package_search", q=f"creator_user_id:{user_id(admin)}")["results"]
    pages = {
        f"/files-preset/edit/{dataset['name']}": ".files-field",
        f"/dataset/files/{dataset['name']}": ".files-list",
        f"/file/{dataset['attachment']}": ".files-page",
        f"/file/delete/{dataset['attachment']}": ".files-page",
        "/dashboard/files": ".files-own",
        "/ckan-admin/files": ".files-list",
        "/dashboard/jobs": ".files-jobs",
        "/ckan-admin/jobs": ".files-jobs",
    }
    for path, part in pages.items():
        browser.go(f"/{language}{path}")
        assert browser.find("html").get_attribute("lang") == language
        texts = browser.driver.execute_script(TEXTS, part)
        assert [text for text in texts if text in translated] == [], path
        assert set(texts) & set(translated.values()), path
        browser.check_space(part)


@with_javascript
@pytest.mark.parametrize("language", LANGUAGES)
def test_dates_and_sizes(language: str, browser: Browser, admin: Person) -> None:
    file = admin.upload("budget-2026.csv", b"a,b\n" * 400_000)
    created = datetime.fromisoformat(admin.call("file_show", id=file)["created"])
    size = format_decimal(1.5, locale=language)  # CKAN translates the unit, too
    browser.go(f"/{language}/file/{file}")
    details = browser.texts(".files-page dd")
    assert format_datetime(created, "long", UTC, language) in details
    assert any(text.startswith(f"{size} ") for text in details)
    browser.go(f"/{language}/dashboard/files")
    cells = browser.texts(".files-table tbody td")
    assert format_datetime(created, "long", UTC, language) in cells
    assert any(text.startswith(f"{size} ") for text in cells)


def user_id(person: Person) -> str:
    return person.call("user_show", id=person.name)["id"]


def translations(language: str) -> dict[str, str]:
    """Return the translations of texts without gaps that are not the same in the language."""
    path = FOLDER / language / "LC_MESSAGES/ckanext-files.po"
    with path.open("rb") as file:
        catalog = read_po(file, locale=language)
    texts = [each for each in catalog if isinstance(each.id, str)]
    # a space that does not break is one, here as in the script
    found = {str(each.id): " ".join(str(each.string).split()) for each in texts}
    english = {
        id_ for id_, text in found.items() if id_ and text not in ("", id_) and "{" not in id_
    }
    # a word of the one language may be another word of the other
    return {id_: found[id_] for id_ in english if id_ not in found.values()}
