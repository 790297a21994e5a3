"""Logs: JSON in production, readable on a terminal; never a secret and never a field's value."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import plain

if TYPE_CHECKING:
    from collections.abc import MutableMapping

SECRET_KEYS = ("secret", "password", "token", "authorization", "payload", "record", "value", "url")


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one room."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(room=name)
    return logger


def set_up(*, level: str = "info", style: str = "auto") -> None:
    """Send every log line of this process to standard error.

    style: "json", "console", or "auto" (console where standard error is a terminal).
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        tell_error,
        redact,
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(pad_event_to=40, exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _tame_libraries(shared, last)


def _tame_libraries(shared: list[Any], last: list[Any]) -> None:
    """Give libraries the same form; those that print URLs or jobs at INFO may only warn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("httpx", "httpcore", "sqlalchemy", "alembic", "apscheduler", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # APScheduler warns whenever a run is still going when the next is due: that is how it is meant here.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)


def tell_error(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Tell where an error came from and of what kind it is; a library's own words may quote a field's value."""
    given = event.pop("exc_info", None)
    problem = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(problem, BaseException):
        told = []
        while problem is not None:
            told.append("".join(traceback.format_tb(problem.__traceback__)) + plain(problem))
            problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
        event["exception"] = "\n\nafter:\n".join(told)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank what may never be printed, should a caller bind it by mistake."""
    for key in event:
        event[key] = _shown(key, event[key])
    return event


def _shown(key: str, value: Any) -> Any:
    if any(word in key.lower() for word in SECRET_KEYS):
        return "[hidden]"
    if isinstance(value, dict):
        return {name: _shown(str(name), inner) for name, inner in value.items()}
    return [_shown("", inner) for inner in value] if isinstance(value, list | tuple) else value
