"""The pages of jobs, over HTTP: who sees what, who may change what, and that texts are texts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from ckan import model

from ckanext.files.background import Job, queues, search
from ckanext.files.background.schema import SCHEMA
from ckanext.files.background.testing import TasksManager
from ckanext.files.tests.background_plugin.conftest import Cast
from ckanext.files.tests.background_plugin.test_actions import SECRET
from ckanext.files.tests.support import sample
from ckanext.files.tests.support.effects import change, engine, statements
from ckanext.files.tests.support.jobs import UNKNOWN, state
from ckanext.files.tests.support.load_plugins import load_plugins
from ckanext.files.tests.support.portal import Client

loaded = load_plugins("files", "files_background", "files_test_probe")

MINE = "queue-of-mine"
"""No page has this by chance, as a user may be called Jasmine."""

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 'q' * 9 }}",
    "\u202eright to left",
    "\U0001f4a5" * 30,
    "x" * 300,
)


@pytest.fixture(autouse=True)
def all_resumed(loaded: Any) -> Iterator[None]:
    yield
    model.Session.remove()
    change(f"DELETE FROM {SCHEMA}.files_paused_queue")


@pytest.fixture
def mine(ask_for: Any) -> Job:
    """A job of the owner, in a queue of its own."""
    return ask_for(lambda: sample.anything.configure(queue=MINE).delay(SECRET))


@pytest.fixture
def theirs(ask_for: Any, cast: Cast) -> Job:
    """A job of another user."""
    job = sample.anything.configure(queue="theirs")
    return ask_for(lambda: job.delay("of another user"), cast.other)


def get(client: Client, path: str, **more: Any) -> Any:
    response = client._app.get(path, headers=client.headers, follow_redirects=False, **more)
    model.Session.remove()
    return response


def post(client: Client, path: str, **data: Any) -> Any:
    response = client._app.post(path, data=data, headers=client.headers, follow_redirects=False)
    model.Session.remove()
    return response


# who sees what


PAGES: dict[str, tuple[Any, ...]] = {
    # the statuses for a visitor, another user, the owner and a sysadmin
    "/ckan-admin/jobs": (403, 403, 403, 200),
    "/dashboard/jobs": (302, 200, 200, 200),
    "/job/rows?id={job}": (302, 200, 200, 200),
    "/job/{job}": (302, 404, 200, 200),
    "/job/state/{job}": (302, 404, 200, 200),
    "/job/notice/{job}": (302, 404, 404, 404),
}


def same(body: str) -> str:
    """Return a page without what differs from one request to the next."""
    return re.sub(r'/job/(?:\w+[/?](?:id=|id%3D)?)?\d+|"[\w-]+\.[\w-]+\.[\w-]+"', "", body)


@pytest.mark.parametrize("path", PAGES)
def test_who_sees_a_page(path: str, cast: Cast, mine: Job) -> None:
    """A page that a user may not see, and one of a job that does not exist, are the same."""
    clients = (cast.anonymous, cast.other, cast.owner, cast.sysadmin)
    for client, status in zip(clients, PAGES[path], strict=True):
        response = get(client, path.format(job=mine.id))
        assert response.status_code == status, client.name
        sees = status == 200 and client in (cast.owner, cast.sysadmin)
        sees &= (client, path) != (cast.sysadmin, "/dashboard/jobs")
        assert (SECRET in response.body) == (sees and "/state/" not in path)
        assert (MINE in response.body) == sees
        if "{job}" in path:
            unknown = get(client, path.format(job=UNKNOWN))
            assert unknown.status_code == (404 if sees and "id=" not in path else status)
            if not sees:
                assert same(response.body) == same(unknown.body)
    if PAGES[path][0] == 302:
        assert "/user/login" in get(cast.anonymous, path.format(job=mine.id)).headers["Location"]


CHANGES: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
    "/job/cancel/{job}": ({}, (403, 404, 302, 302)),
    "/job/cancel/{job}?": ({"now": "true"}, (403, 404, 302, 302)),
    "/job/retry/{job}": ({}, (403, 404, 302, 302)),
    "/job/dismiss/{job}": ({}, (403, 302, 302, 302)),
    "/job/change": ({"action": "cancel", "scope": "own"}, (403, 302, 302, 302)),
    "/job/change?": ({"action": "cancel", "scope": "all"}, (403, 302, 302, 302)),
    "/ckan-admin/jobs/queue": ({"name": MINE, "action": "pause"}, (403, 403, 403, 302)),
}


@pytest.mark.parametrize("path", CHANGES)
def test_who_may_change(path: str, cast: Cast, mine: Job) -> None:
    data, statuses = CHANGES[path]
    clients = (cast.anonymous, cast.other, cast.owner, cast.sysadmin)
    for client, status in zip(clients, statuses, strict=True):
        assert post(client, path.format(job=mine.id), **data).status_code == status
        if client in (cast.anonymous, cast.other):
            assert (state(mine), queues.paused()) == ("todo", {})
        model.Session.remove()
        assert get(client, path.format(job=mine.id)).status_code in (302, 400, 404, 405)
    changes = "cancel" in (*data.values(), *path.strip("?").split("/"))
    assert state(mine) == ("cancelled" if changes else "todo")
    assert list(queues.paused()) == ([MINE] if "name" in data else [])


UNKNOWN_WORDS: list[tuple[str, dict[str, str]]] = [
    ("/job/cancel/{job}", {"now": "false"}),
    ("/job/change", {"scope": "all"}),
    ("/job/change", {"scope": "all", "action": ""}),
    ("/job/change", {"scope": "all", "action": "end"}),
    ("/job/change", {"action": "cancel"}),
    ("/job/change", {"action": "cancel", "scope": "mine"}),
    ("/ckan-admin/jobs/queue", {"name": MINE}),
    ("/ckan-admin/jobs/queue", {"name": MINE, "action": "stop"}),
]


@pytest.mark.parametrize(("path", "data"), UNKNOWN_WORDS, ids=str)
def test_an_unknown_word_changes_nothing(
    path: str, data: dict[str, str], cast: Cast, mine: Job
) -> None:
    """A form that the page does not understand does not do the next best thing."""
    queues.pause(MINE)
    model.Session.commit()
    assert post(cast.sysadmin, path.format(job=mine.id), **data).status_code == 400
    if path == "/job/change":
        assert get(cast.sysadmin, path, query_string=data).status_code == 400
    assert (state(mine), list(queues.paused())) == ("todo", [MINE])


def test_own_jobs_only(cast: Cast, mine: Job, theirs: Job) -> None:
    """No filter, and no scope, leads to a job of another user, its queue or its number."""
    for query in (
        "",
        "?user_id=" + cast.other.name,
        "?queue=theirs",
        "?text=another",
        "?scope=all",
    ):
        body = get(cast.owner, f"/dashboard/jobs{query}").body
        assert f"/job/{theirs.id}" not in body
        assert "theirs" not in body.replace("queue=theirs", "").replace('value="theirs"', "")
    rows = get(cast.owner, f"/job/rows?id={theirs.id}&id={mine.id}&scope=all").body
    assert f"/job/{mine.id}" in rows
    assert f"/job/{theirs.id}" not in rows
    post(cast.owner, "/job/change", action="cancel", scope="all", queue="theirs")
    post(cast.owner, "/job/change", action="cancel", scope="own", user_id=cast.other.name)
    assert (state(mine), state(theirs)) == ("cancelled", "todo")
    post(cast.sysadmin, "/job/change", action="cancel", scope="own")
    assert state(theirs) == "todo"  # own jobs
    post(cast.sysadmin, "/job/change", action="cancel", scope="all", text="another user")
    assert state(theirs) == "cancelled"


def test_a_sysadmin_sees_users(cast: Cast, mine: Job) -> None:
    body = get(cast.sysadmin, "/ckan-admin/jobs").body
    assert f"/user/{cast.owner.name}" in body
    assert f"/user/{cast.owner.name}" in get(cast.sysadmin, f"/job/{mine.id}").body
    found = get(cast.sysadmin, f"/ckan-admin/jobs?user_id={cast.owner.name}").body
    assert f"/job/{mine.id}" in found
    found = get(cast.sysadmin, f"/ckan-admin/jobs?user_id={cast.other.name}").body
    assert f"/job/{mine.id}" not in found


def test_traceback_for_sysadmins_only(cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    job = ask_for(lambda: sample.fail_after.delay("this\n[SQL: SELECT secret]"))
    tasks.run_pending_jobs()
    own, all_ = (get(each, f"/job/{job.id}").body for each in (cast.owner, cast.sysadmin))
    assert "this" in own
    assert "ValueError" not in own
    assert "ValueError: this" in all_
    assert "Traceback" not in own
    assert own.count("SELECT secret") == 1  # in the arguments, which are the owner's
    assert "Traceback (most recent call last)" in all_


# what a page shows


def test_filters_and_pages(cast: Cast, ask_for: Any) -> None:
    jobs = [ask_for(lambda: sample.noop.delay()) for _ in range(3)]
    with engine().begin() as connection:
        connection.execute(
            sa.text(f"""
                WITH more AS (
                    INSERT INTO {SCHEMA}.procrastinate_jobs (task_name, queue_name, status)
                    SELECT 'more.jobs', 'many', 'failed' FROM generate_series(1, 1100) RETURNING id)
                INSERT INTO {SCHEMA}.files_job (job_id, user_id, error)
                SELECT id, :user, 'E: no' FROM more"""),
            {"user": cast.owner.id},
        )

    def ids(body: str) -> list[int]:
        return [int(found) for found in re.findall(r'<tr id="files-job-(\d+)"', body)]

    with statements() as for_first_page:
        body = get(cast.owner, "/dashboard/jobs").body
    assert len(ids(body)) == 20
    assert "More than 1,000 jobs found" in body
    older = re.findall(r'rel="next" href="([^"]+)"', body)[0]
    with statements() as for_older_page:
        assert ids(get(cast.owner, html.unescape(older)).body)[0] == ids(body)[-1] - 1
    assert len(for_older_page) == len(for_first_page)
    body = get(cast.owner, "/dashboard/jobs?status=todo").body
    assert ids(body) == [job.id for job in reversed(jobs)]
    assert "3 jobs found" in body
    assert 'rel="next"' not in body
    body = get(cast.owner, "/dashboard/jobs?status=failed&text=e:+no&queue=many").body
    assert len(ids(body)) == 20
    assert '<option value="failed" selected>' in body
    assert ids(get(cast.owner, "/dashboard/jobs?task=more").body) == []
    for bad in ("status=none", "before=x", "text=%00", "queue=" + "x" * 300):
        response = get(cast.owner, f"/dashboard/jobs?{bad}")
        assert (response.status_code, ids(response.body)) == (200, [])
        assert "alert-danger" in response.body
    assert get(cast.owner, "/job/rows?id=x").status_code == 400
    for name, label in (("status", "State"), ("user_id", "Username")):
        assert f">{label}: " in get(cast.sysadmin, f"/ckan-admin/jobs?{name}=%00").body

    assert press(cast.owner, "/dashboard/jobs", "cancel")[0] == "Cancel 3 jobs?"
    assert press(cast.owner, "/dashboard/jobs", "retry")[0] == "Retry more than 1,000 jobs?"


def press(client: Client, page: str, button: str) -> tuple[str, Form]:
    """Press a button below a list; return the question, and what the form there sends."""
    sent = {**hidden_inputs(get(client, page).body), "action": button}
    asked = get(client, "/job/change", query_string=sent).body
    assert f'<button class="btn btn-{COLOURS[button]}" name="action" value="{button}">' in asked
    [question] = re.findall("<h1>(.*)</h1>", asked)
    return question, {**hidden_inputs(asked), "action": button}


Form = dict[str, Any]
"""The inputs of a form, each with a text or a list of texts."""

COLOURS = {"cancel": "danger", "retry": "primary"}


def hidden_inputs(body: str) -> Form:
    """Return the hidden inputs of the form for many jobs."""
    [form] = re.findall(r'action="/job/change".*?</form>', body, re.S)
    inputs: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([a-z]\w*)" value="([^"]*)"', form):
        inputs.setdefault(name, []).append(html.unescape(value))
    return inputs


def test_many_jobs_are_changed_after_a_question(cast: Cast, ask_for: Any, theirs: Job) -> None:
    """It has the number of the jobs that would be changed, and the filters."""
    jobs = [ask_for(lambda: sample.anything.configure(queue=MINE).delay(SECRET)) for _ in range(2)]
    jobs.append(ask_for(sample.noop.delay))
    page = f"/dashboard/jobs?queue={MINE}&status=todo&status=failed&text={SECRET[2:]}"
    question, form = press(cast.owner, page, "cancel")
    assert question == "Cancel 2 jobs?"
    assert form["status"] == ["todo", "failed"]
    asked = get(cast.owner, "/job/change", query_string=form).body
    facts = dict(re.findall(r"<dt[^>]*>(.*)</dt>\s*<dd[^>]*><bdi>(.*)</bdi></dd>", asked))
    assert facts == {"Queue": MINE, "State": "waiting, failed", "Text": SECRET[2:]}
    [back] = re.findall(r'href="([^"]+)">Back to the list', asked)
    assert sorted(html.unescape(back).partition("?")[2].split("&")) == sorted(
        page.replace(" ", "+").partition("?")[2].split("&")
    )
    assert [state(job) for job in (*jobs, theirs)] == ["todo"] * 4
    done = post(cast.owner, "/job/change", **form)
    assert done.headers["Location"].endswith(back.replace("&amp;", "&"))
    assert [state(job) for job in (*jobs, theirs)] == ["cancelled"] * 2 + ["todo"] * 2
    assert press(cast.owner, f"/dashboard/jobs?queue={MINE}", "retry")[0] == "Retry 2 jobs?"
    assert press(cast.sysadmin, "/ckan-admin/jobs", "cancel")[0] == "Cancel 2 jobs?"
    assert press(cast.owner, "/dashboard/jobs", "cancel")[0] == "Cancel 1 job?"


def test_a_question_about_jobs_without_a_number(
    cast: Cast, ask_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are none to change; or only the newest were looked at."""
    job = ask_for(sample.noop.delay)
    nothing = {"action": "retry", "scope": "own"}
    answer = get(cast.owner, "/job/change", query_string=nothing)
    assert (answer.status_code, answer.headers["Location"][-15:]) == (302, "/dashboard/jobs")
    wrong = get(cast.owner, "/job/change", query_string={**nothing, "status": "lost"})
    assert (wrong.status_code, "status=lost" in wrong.headers["Location"]) == (302, True)
    monkeypatch.setattr(search, "WINDOW", 1)
    asked = get(cast.owner, "/job/change", query_string={**nothing, "text": "no such"}).body
    assert "<h1>Retry an unknown number of jobs?</h1>" in asked
    assert state(job) == "todo"


def test_change_all_that_was_shown(cast: Cast, ask_for: Any) -> None:
    """A job that comes while a page is open is not changed, whichever page of the list it is."""
    jobs = [ask_for(sample.noop.delay) for _ in range(3)]

    def cancel(path: str) -> list[str]:
        _, form = press(cast.owner, path, "cancel")
        jobs.append(ask_for(sample.noop.delay))
        post(cast.owner, "/job/change", **form)
        return [state(job) for job in jobs]

    assert cancel("/dashboard/jobs?status=todo") == ["cancelled"] * 3 + ["todo"]
    jobs += [ask_for(sample.noop.delay) for _ in range(20)]
    page = get(cast.owner, "/dashboard/jobs?status=todo").body
    [older] = re.findall(r'rel="next" href="([^"]+)"', page)
    jobs.append(ask_for(sample.noop.delay))
    assert cancel(html.unescape(older)) == ["cancelled"] * 24 + ["todo"] * 2
    post(cast.owner, "/job/change", action="cancel", scope="own", before="")
    assert state(jobs[-1]) == "todo"
    # the address of the question, without the list
    assert cancel("/job/change?action=cancel&scope=own") == ["cancelled"] * 26 + ["todo"]


def test_a_page_that_polls(cast: Cast, mine: Job, tasks: TasksManager) -> None:
    """Only while a job of it may change."""
    for path in ("/dashboard/jobs", f"/job/{mine.id}", f"/job/rows?id={mine.id}"):
        assert "hx-trigger" in get(cast.owner, path).body
    tasks.run_pending_jobs()
    for path in ("/dashboard/jobs", f"/job/{mine.id}", f"/job/rows?id={mine.id}"):
        assert "hx-trigger" not in get(cast.owner, path).body


def test_a_page_that_is_open_for_long(cast: Cast, mine: Job) -> None:
    """It polls less and less often, and no parameter makes it poll more often."""

    def polling(path: str) -> tuple[int, int]:
        body = get(cast.owner, path).body
        [polls] = re.findall(r'hx-get="[^"]*[?;]polls=(\d+)', body)
        [interval] = re.findall(r"every (\d+)s \[", body)
        return int(interval), int(polls)

    for path in (f"/job/rows?id={mine.id}&", f"/job/state/{mine.id}?", "/dashboard/jobs?"):
        assert polling(path) == polling(f"{path}polls=-1") == polling(f"{path}polls=x") == (2, 1)
        assert polling(f"{path}polls=1") == (2, 2)
        assert polling(f"{path}polls=300") == (12, 301)
        assert polling(f"{path}polls={'9' * 5000}")[0] == 60


def test_a_page_that_polls_in_vain(cast: Cast, mine: Job) -> None:
    """Its visitor has logged out, or the job is deleted: it stays as it is, and polls no more."""
    told = {"HX-Request": "true"}
    asked = [
        *[(cast.anonymous, path) for path in PAGES if "{job}" in path],
        *[(cast.other, f"/job/{part}/{{job}}") for part in ("state", "notice")],
    ]
    for client, path in asked:
        headers = {**client.headers, **told}
        answer = cast.app.get(path.format(job=mine.id), headers=headers, follow_redirects=False)
        assert (answer.status_code, answer.body) == (286, ""), path
        assert answer.headers["HX-Reswap"] == "none"


def test_return_to_the_page(cast: Cast, mine: Job) -> None:
    """To a page of this site only."""
    for page, leads in (
        ("/dashboard/jobs?status=todo", "/dashboard/jobs?status=todo"),
        ("//evil.example", f"/job/{mine.id}"),
        ("https://evil.example", f"/job/{mine.id}"),
        ("ftp://test.ckan.net/dashboard/jobs", f"/job/{mine.id}"),
        ("/\\evil.example", f"/job/{mine.id}"),
        ("/\t/evil.example", f"/job/{mine.id}"),
        ("\t//evil.example", f"/job/{mine.id}"),
        ("evil.example", f"/job/{mine.id}"),
        ("user.logout", f"/job/{mine.id}"),
        ("a\0", f"/job/{mine.id}"),
    ):
        cancelled = post(cast.owner, f"/job/cancel/{mine.id}", next=page)
        assert leads in cancelled.headers["Location"]
        assert "evil" not in cancelled.headers["Location"]
        post(cast.owner, f"/job/retry/{mine.id}")


ODD = "endpoint=x&controller=user&action=logout&_anchor=a&locale=de&q=%C3%A9&q=%26&n=%00"


@pytest.mark.parametrize("path", ["/dashboard/jobs", "/job/rows", "/ckan-admin/jobs"])
def test_odd_addresses(path: str, cast: Cast, mine: Job) -> None:
    """Parameters are no arguments of functions that make addresses, and no other address."""
    body = get(cast.sysadmin, f"{path}?id={mine.id}&{ODD}").body
    pages = {html.unescape(page) for page in re.findall(r'name="next" value="([^"]*)"', body)}
    assert pages == ({f"{path}?id={mine.id}&{ODD}"} if f"/cancel/{mine.id}" in body else set())
    for page in ("javascript:alert(1)", "//evil.example", "/\\evil.example"):
        body = get(cast.sysadmin, f"{path}?id={mine.id}&next={page}").body
        assert f'value="{page}"' not in body


@pytest.mark.ckan_config("ckan.locales_offered", "en de")
@pytest.mark.usefixtures("ckan_config")
def test_other_languages(cast: Cast, mine: Job) -> None:
    """Links, forms and what htmx asks for stay in the language of the page."""
    body = get(cast.owner, "/de/dashboard/jobs?status=todo").body
    assert f'href="/de/job/{mine.id}"' in body
    assert f'action="/de/job/cancel/{mine.id}"' in body
    assert 'hx-get="/de/job/rows?' in body
    page = html.unescape(re.findall(r'name="next" value="([^"]+)"', body)[0])
    assert page == "/de/dashboard/jobs?status=todo"
    cancelled = post(cast.owner, f"/de/job/cancel/{mine.id}", next=page)
    assert cancelled.headers["Location"].endswith(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_texts(text: str, cast: Cast, ask_for: Any, tasks: TasksManager) -> None:
    """In arguments, progress, errors, names of queues and filters."""
    told = ask_for(lambda: sample.tell.configure(queue=text[:9]).delay(text, 50, text))
    failed = ask_for(lambda: sample.fail_after.delay(text))
    tasks.run_pending_jobs()
    change(
        f"UPDATE {SCHEMA}.files_job SET percent = 50, text = :text WHERE job_id = :id",
        text=text,
        id=told.id,
    )
    queues.pause(text[:9])
    model.Session.commit()
    for client, path in (
        (cast.owner, f"/dashboard/jobs?text={text[:20]}"),
        (cast.owner, f"/job/rows?id={told.id}&id={failed.id}&next={text[:20]}"),
        (cast.owner, f"/job/{told.id}"),
        (cast.owner, f"/job/{failed.id}"),
        (cast.sysadmin, "/ckan-admin/jobs"),
        (cast.sysadmin, f"/job/{failed.id}"),
    ):
        response = get(client, path)
        assert response.status_code == 200
        assert "alert(1)</script>" not in response.body
        assert "<img src=x" not in response.body
        assert "q" * 9 not in response.body


def test_queues(cast: Cast, mine: Job) -> None:
    body = get(cast.sysadmin, "/ckan-admin/jobs").body
    assert f'aria-label="Pause queue {MINE}"' in body
    body = get(cast.sysadmin, "/ckan-admin/jobs?status=todo&status=doing").body
    form = body[body.index(f'<input type="hidden" name="name" value="{MINE}">') :]
    assert re.findall(r'name="status" value="(\w+)"', form)[:2] == ["todo", "doing"]
    sent = post(cast.sysadmin, "/ckan-admin/jobs/queue", name=MINE, action="pause", status="todo")
    assert sent.headers["Location"].endswith("/ckan-admin/jobs?status=todo")
    assert f'aria-label="Resume queue {MINE}"' in get(cast.sysadmin, "/ckan-admin/jobs").body
    own = get(cast.owner, "/dashboard/jobs").body
    assert "Waits: its queue is paused" in own
    assert "Resume queue" not in own
    post(cast.sysadmin, "/ckan-admin/jobs/queue", name=MINE, action="resume")
    assert not queues.paused()
    post(cast.sysadmin, "/ckan-admin/jobs/queue", name="x" * 50, action="pause")
    assert not queues.paused()


@pytest.mark.parametrize("path", ["/ckan-admin/jobs", "/dashboard/jobs", "/job/1"])
def test_without_the_tables(path: str, cast: Cast) -> None:
    """A sysadmin reads which command to run."""
    change(f"ALTER SCHEMA {SCHEMA} RENAME TO files_test_away")
    try:
        admin, owner = get(cast.sysadmin, path), get(cast.owner, path)
        about = get(cast.owner, "/about")
    finally:
        change(f"ALTER SCHEMA files_test_away RENAME TO {SCHEMA}")
    if "job/" in path:
        assert (admin.status_code, owner.status_code) == (404, 404)
        return
    assert admin.status_code == 503
    assert "ckan files background init" in admin.body
    assert owner.status_code == (403 if "admin" in path else 503)
    assert "background init" not in owner.body
    assert about.status_code == 200


def test_tabs(cast: Cast) -> None:
    """In the pages of administrators, and in the dashboard."""
    assert "/ckan-admin/jobs" in get(cast.sysadmin, "/ckan-admin/").body
    assert "/dashboard/jobs" in get(cast.owner, "/dashboard/datasets").body


def test_forged_forms(browser: Any, mine: Job, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each form needs the token of the session."""
    monkeypatch.setitem(app.flask_app.config, "WTF_CSRF_ENABLED", True)
    for path in CHANGES:
        answer = browser.post(path.format(job=mine.id), data={"action": "cancel"})
        assert answer.status_code == 400, path
    assert state(mine) == "todo"
    page = browser.get(f"/job/{mine.id}").text
    token = re.findall(r'name="_csrf_token" value="([^"]+)"', page)[0]
    assert browser.post(f"/job/cancel/{mine.id}", data={"_csrf_token": token}).status_code == 302
    assert state(mine) == "cancelled"
