"""The forms of a dataset type of ckanext-scheming with many attachment fields, over HTTP."""

from __future__ import annotations

import re
from typing import Any

from werkzeug.datastructures import MultiDict

from ckanext.files.tests.support import portal
from ckanext.files.tests.support.effects import statements
from ckanext.files.tests.support.file_pages import Pages
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.users import organization_of

loaded = load_plugins(
    *("files", "scheming_datasets", "scheming_nerf_index"),
    scheming__presets="ckanext.scheming:presets.json ckanext.files:presets.yaml",
    scheming__dataset_schemas="ckanext.files.tests:schemas/preset_dataset.yaml",
)

TYPE = "files-preset"


def test_thirty_subfields_cost_as_many_statements_as_one(author: str, pages: Pages) -> None:
    """And the words of the scripts are on the page once."""
    place = {"type": TYPE, "title": "Levels", "owner_org": organization_of(author)}
    portal.upload(author, 3)  # to choose from
    numbers = []
    for count in (1, 1, 30):
        files = portal.upload(author, count)
        citations = [{"paper": file} for file in files]
        dataset = portal.new_dataset(author, citations=citations, **place)
        with statements() as seen:
            page = pages.shown(f"/{TYPE}/edit/{dataset['name']}", author)
        numbers.append(len(seen))
        assert all(f'value="{file}"' in page for file in files)
        assert page.count("data-words=") == 1
        assert page.count('data-module="files-attachment"') > count
    assert numbers[1] == numbers[2], numbers


def test_words_for_the_files_of_a_dataset_and_of_a_resource(author: str, pages: Pages) -> None:
    """Each form says where a detached file would stay, also in its repeating subfields."""
    files = portal.upload(author, 4)
    resource = portal.resource(codebook=files[0], parts=[{"plan": files[1]}])
    place = {"type": TYPE, "title": "Levels", "owner_org": organization_of(author)}
    fields = {"attachment": files[2], "citations": [{"paper": files[3]}]}
    dataset = portal.new_dataset(author, resources=[resource], **fields, **place)
    form = f"/{TYPE}/{dataset['name']}/resource/{dataset['resources'][0]['id']}/edit"
    for path, named in ((form, files[:2]), (f"/{TYPE}/edit/{dataset['name']}", files[2:])):
        page = pages.shown(path, author)
        kept = {*re.findall("Keep it with the (\\w+)", page)}
        assert kept == {"resource" if path == form else "dataset"}
        for file in named:
            row = page[page.index(f'data-id="{file}"') :].partition("</li>")[0]
            assert 'data-stored="yes"' in row


def test_a_resource_with_many_files_can_be_saved(app: Any, author: str, pages: Pages) -> None:
    """Flask accepts a thousand parts of a form that is sent as multipart/form-data."""
    book, *photos = portal.upload(author, 521)
    resource = portal.resource(codebook=book, photos=photos)
    place = {"type": TYPE, "title": "Levels", "owner_org": organization_of(author)}
    dataset = portal.new_dataset(author, resources=[resource], **place)
    form = f"/{TYPE}/{dataset['name']}/resource/{dataset['resources'][0]['id']}/edit"
    hidden = '<input type="hidden"[^>]* name="([^"]+)" value="([^"]*)"'
    sent = re.findall(hidden, pages.shown(form, author))
    assert "files-initial:photos" in dict(sent)
    inputs = MultiDict([("save", ""), ("name", "New"), ("url", resource["url"]), *sent])
    headers = {"Authorization": portal.Api(app).token(author)}
    as_parts: Any = {"content_type": "multipart/form-data", "follow_redirects": False}
    assert app.post(form, data=inputs, headers=headers, **as_parts).status_code == 302
    (saved,) = portal.shown(dataset["id"])["resources"]
    assert (saved["name"], saved["photos"]) == ("New", photos)
