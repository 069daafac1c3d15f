"""Carry out what a form of a file asks for, and answer it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import ckan.plugins.toolkit as tk
from ckan import model

from ckanext.files.error_texts import text_of
from ckanext.files.next_page import next_page
from ckanext.files.pages.refused import refused
from ckanext.files.pages.suggestions import Suggestion

from .page import RefusedForm, readable_file, show_file, to_page


class NotDoneError(Exception):
    """A reason for which nothing was changed, in words for the visitor.

    :param suggestions: owners that the visitor may have meant.
    :param mentions: what names the file, if the visitor can force the change.
    """

    def __init__(
        self,
        reason: str,
        suggestions: Collection[Suggestion] = (),
        mentions: Collection[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(reason)
        self.suggestions = list(suggestions)
        self.mentions = list(mentions)


def carry_out(
    file: dict[str, Any],
    form: str,
    change: Callable[[], object],
    sentence: str,
    show: Callable[..., str] = show_file,
) -> Any:
    """Change a file, and lead back to its page with a message.

    :param form: name of the form.
    :param sentence: the message, with ``{file}`` for what people see as the name of the file.
    :param show: shows the page with the form again if nothing was changed.
    """
    try:
        change()
    except tk.ObjectNotFound:
        return refused()
    except (NotDoneError, tk.ValidationError, tk.NotAuthorized) as error:
        model.Session.rollback()
        return show(file, refused_form=_refused_form(form, error))
    # people see another name, or the file has gone to an owner whom the visitor may not see
    now = readable_file(file["id"])
    tk.h.flash_success(sentence.format(file=(now or file)["display_name"]))
    if now:
        return to_page(file["id"])
    return tk.redirect_to(next_page() or tk.url_for("files_pages.own"))


def _refused_form(form: str, error: Exception) -> RefusedForm:
    sent = tk.request.form.to_dict()
    if isinstance(error, NotDoneError):
        return RefusedForm(form, sent, str(error), error.suggestions, error.mentions)
    reason = tk._("Nothing was changed: {reason}").format(reason=text_of(error))
    return RefusedForm(form, sent, reason)
