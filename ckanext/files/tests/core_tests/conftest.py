"""What CKAN 2.12 has for its tests: a storage in memory, and fixtures that CKAN 2.11 has not."""

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
from ckanext.files.tests.loaded import plugins_loaded

OPTIONS = {
    # a session that CKAN's test application makes is one of this host
    "ckan.site_url": "http://localhost",
    "ckan.files.default_storages.default": "test",
    "ckan.files.storage.test.type": "ckan:memory",
    "ckan.files.storage.test.path": "",
    "ckan.files.authenticated_uploads.allow": False,
    "ckan.files.authenticated_uploads.storages": [],
}


#: Tests that do not apply to CKAN 2.11, and why.
OTHERWISE = {
    "test_base.py::TestStorage::test_as_response": "the header has the file's name in UTF-8, too",
    "test_storages.py::TestAdapters::test_custom_adapters": "IFiles is left out",
    "test_storages.py::TestLocationTransformers::test_transformers": "IFiles is left out",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in [] if capabilities.CORE_FILES else items:
        for name, reason in OTHERWISE.items():
            if item.nodeid.endswith(f"core_tests/{name}"):
                item.add_marker(pytest.mark.xfail(reason=reason))


@pytest.fixture(scope="package", autouse=True)
def loaded() -> Iterator[None]:
    with plugins_loaded("files", **OPTIONS):
        yield
    storages.reset()


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
        """Make the storages anew, of what the options are now."""

        def reset() -> None:
            storages.reset()
            storages.collect()

        return reset

    @pytest.fixture
    def ckan_config(
        request: pytest.FixtureRequest, ckan_config: Any, reset_storages: Callable[[], None]
    ) -> Iterator[Any]:
        """CKAN's, and storages that are what the marks say."""
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
        """A test application that remembers a user."""
        get = app.get

        def set_session_user(user_id: str) -> None:
            app.get = lambda *args, **more: get(
                *args, extra_environ={"REMOTE_USER": user_id}, **more
            )

        app.set_session_user = set_session_user
        yield app
        del app.set_session_user
        app.get = get
