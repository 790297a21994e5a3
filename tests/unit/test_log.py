"""Logs: one line of JSON an event, and nothing in it that may not be printed."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from syncd import log

SECRET = "hush-hush-0123456789"  # noqa: S105 - made up


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Give every other test the logging that it had."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_of_json_on_standard_error(capsys):
    log.set_up(style="json")
    log.get("mirror").info("feed ran", feed="changes", leads=3)
    (line,) = lines(capsys)
    assert line["event"] == "feed ran"
    assert (line["room"], line["level"], line["feed"], line["leads"]) == ("mirror", "info", "changes", 3)
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize(
    "key",
    [
        "client_secret",
        "password",
        "token",
        "access_token",
        "Authorization",
        "payload",
        "record",
        "values",
        "url",
        "DATABASE_URL",
    ],
)
@pytest.mark.parametrize("style", ["json", "console"])
def test_what_may_never_be_printed_is_blanked(capsys, key, style):
    log.set_up(style=style)
    log.get("marketo").warning("called", **{key: SECRET})
    shown = capsys.readouterr().err
    assert SECRET not in shown
    assert "[hidden]" in shown


def test_what_may_never_be_printed_is_blanked_inside_other_things_too(capsys):
    log.set_up(style="json")
    log.get("marketo").warning(
        "called", call={"headers": {"Authorization": SECRET}}, some=[{"payload": SECRET, "lead": 1}]
    )
    (line,) = lines(capsys)
    assert SECRET not in json.dumps(line)
    assert line["some"] == [{"payload": "[hidden]", "lead": 1}]


def test_bound_and_context_values_are_blanked_too(capsys):
    log.set_up(style="json")
    with structlog.contextvars.bound_contextvars(token=SECRET):
        log.get("marketo").bind(client_secret=SECRET).warning("called")
    assert SECRET not in capsys.readouterr().err


def test_libraries_speak_json_too_but_only_from_warnings_on(capsys):
    log.set_up(style="json")
    logging.getLogger("httpx").info("GET https://example.com/?access_token=%s", SECRET)
    logging.getLogger("apscheduler.scheduler").warning("a run was skipped")
    logging.getLogger("sqlalchemy.pool").warning("a connection was lost")
    (line,) = lines(capsys)
    assert line["event"] == "a connection was lost"
    assert line["level"] == "warning"


def test_the_level_decides_what_is_told(capsys):
    log.set_up(level="warning", style="json")
    log.get("outbox").info("not this")
    log.get("outbox").warning("this")
    assert [line["event"] for line in lines(capsys)] == ["this"]


def test_away_from_a_terminal_auto_means_json(capsys):
    log.set_up(style="auto")
    log.get("outbox").info("told")
    assert [line["event"] for line in lines(capsys)] == ["told"]


def test_an_exception_is_told_in_its_line(capsys):
    log.set_up(style="json")
    try:
        int("no number")
    except ValueError:
        log.get("outbox").exception("it broke")
    (line,) = lines(capsys)
    assert str(line["exception"]).endswith("ValueError")
