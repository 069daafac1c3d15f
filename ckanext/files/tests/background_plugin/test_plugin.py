"""The plugin ``files_background`` next to others."""

from __future__ import annotations

from typing import Any

import pytest
from ckan.exceptions import CkanConfigurationException
from ckan.plugins import plugin_loaded, toolkit

from ckanext.files.tests.support.load_plugins import load_plugins, plugins_loaded

loaded = load_plugins("files")

ACTIONS = {"files_job_cancel", "files_job_list", "files_job_retry", "files_job_show"}


@pytest.mark.parametrize("names", [["files_background"], ["files_background", "files"]])
def test_needs_the_plugin_files_before_it(names: list[str]) -> None:
    with (
        pytest.raises(CkanConfigurationException, match="needs the plugin files before it"),
        plugins_loaded(*names),
    ):
        pass
    assert not plugin_loaded("files_background")


def test_loaded() -> None:
    with plugins_loaded("files", "files_background"):
        actions: dict[str, Any] = {name: toolkit.get_action(name) for name in ACTIONS}
        free = {name for name, a in actions.items() if getattr(a, "side_effect_free", False)}
        assert free == {"files_job_list", "files_job_show"}
        for action in actions.values():
            for part in (":param", ":returns:", "For"):
                assert part in action.__doc__
