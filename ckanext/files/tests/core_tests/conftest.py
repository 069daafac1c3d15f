"""What CKAN 2.12's tests need: a storage in memory, and fixtures that CKAN 2.11 lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ckan.tests import factories
from factory.declarations import LazyFunction
from factory.faker import Faker
from pytest_factoryboy import register

from ckanext.files import capabilities
from ckanext.files.store.models import File
from ckanext.files.store.storages import storages
from ckanext.files.tests.support.load_plugins import plugins_loaded, storage_options

OPTIONS = {
    # the host of the sessions that CKAN's test application makes
    "ckan.site_url": "http://localhost",
    "ckan.files.default_storages.default": "test",
    **storage_options("test", type="ckan:memory", path=""),
    "ckan.files.authenticated_uploads.allow": False,
    "ckan.files.authenticated_uploads.storages": [],
}

DIFFERENT_ON_2_11 = {
    "TestBase::TestStorage::test_as_response": "the header has the file's name in UTF-8, too",
    "TestStorages::TestAdapters::test_custom_adapters": "IFiles is left out",
    "TestStorages::TestLocationTransformers::test_transformers": "IFiles is left out",
}
"""Tests that do not apply to CKAN 2.11, and why."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in [] if capabilities.CORE_FILES else items:
        for name, reason in DIFFERENT_ON_2_11.items():
            if item.nodeid.endswith(f"core_tests/test_core.py::{name}"):
                item.add_marker(pytest.mark.xfail(reason=reason))


@pytest.fixture(scope="package", autouse=True)
def loaded() -> Iterator[None]:
    with plugins_loaded("files", **OPTIONS):
        yield
    storages.reset()


@pytest.fixture(autouse=True)
def same_storages(loaded: None) -> Iterator[None]:
    """Put the storages back: some of CKAN's tests add others, and do not remove them."""
    before = dict(storages.members)
    yield
    storages.reset()
    storages.members.update(before)


if not capabilities.CORE_FILES:

    @register
    class FileFactory(factories.CKANFactory):
        """As CKAN 2.12's own."""

        class Meta:  # pyright: ignore[reportIncompatibleVariableOverride]
            model = File
            action = "file_create"

        name = LazyFunction(factories.fake.unique.file_name)
        upload = Faker("binary", length=100)

    @pytest.fixture(scope="session")
    def reset_storages() -> Callable[[], None]:
        """Make the storages again, from the present options."""

        def reset() -> None:
            storages.reset()
            storages.collect()

        return reset

    @pytest.fixture
    def ckan_config(
        request: pytest.FixtureRequest, ckan_config: Any, reset_storages: Callable[[], None]
    ) -> Iterator[Any]:
        """CKAN's fixture, with storages as the marks of the test define them."""
        marks = [mark.args[0] for mark in request.node.iter_markers("ckan_config")]
        is_changed = any(option.startswith("ckan.files.storage.") for option in marks)
        if is_changed:
            reset_storages()
        yield ckan_config
        if is_changed:
            request.getfixturevalue("monkeypatch").undo()
            reset_storages()

    @pytest.fixture
    def app(app: Any) -> Any:
        """A test application whose requests may come from one user."""
        get = app.get

        def set_session_user(user_id: str) -> None:
            app.get = lambda *args, **more: get(
                *args, extra_environ={"REMOTE_USER": user_id}, **more
            )

        app.set_session_user = set_session_user
        return app
