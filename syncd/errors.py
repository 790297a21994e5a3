"""The one tree of errors, grouped by what to do next.

SyncdError                 anything syncd says in one plain sentence
├── ConfigError            a person must change a setting (exit code 2)
├── DatabaseProblem        PostgreSQL is unreachable, too old or not migrated
├── ValueRefused           PostgreSQL does not take a value: a mistake in syncd
├── WorkFailed             a foreground job could not finish (exit code 1)
└── MarketoError           Marketo refused or was not reached
    ├── Retryable          nothing was executed: the same call may go out again later
    ├── QuotaExhausted     nothing was executed: wait for the daily reset
    ├── AuthenticationFailed  the credentials do not work; repeating will not help
    ├── Refused            permanent for this input
    └── OutcomeUnknown     the call may or may not have taken effect
"""

from __future__ import annotations

from datetime import datetime


class SyncdError(Exception):
    """Something went wrong that a person can understand in one sentence."""


class ConfigError(SyncdError):
    """A setting is missing, unknown or has a value that can't be used."""


class DatabaseProblem(SyncdError):
    """PostgreSQL can't be used as it is."""


class ValueRefused(SyncdError):
    """PostgreSQL does not take a value that syncd gave it; its own words, which quote the value, are left out."""


class WorkFailed(SyncdError):
    """A job that was asked for could not be finished."""


class MarketoError(SyncdError):
    """Marketo answered with an error, or did not answer.

    code: Marketo's code ("606"), "HTTP 502" for a bare status, or "transport" when no answer came.
    request_id: Marketo's id of the call, where it gave one.
    endpoint: the name of the endpoint in ``syncd.marketo.endpoints``.
    """

    def __init__(self, message: str, *, code: str, endpoint: str, request_id: str | None = None) -> None:
        self.message = message
        self.code = code
        self.endpoint = endpoint
        self.request_id = request_id
        where = f"{endpoint}, request {request_id}" if request_id else endpoint
        super().__init__(f"Marketo {code}: {message} ({where})")


class Retryable(MarketoError):
    """Nothing was executed; the same call may be sent again after ``after`` seconds (None: back off)."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        endpoint: str,
        request_id: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, endpoint=endpoint, request_id=request_id)
        self.after = after


class QuotaExhausted(MarketoError):
    """A daily quota is used up; nothing was executed and nothing will be before ``until`` (UTC)."""

    def __init__(
        self, message: str, *, code: str, endpoint: str, until: datetime, request_id: str | None = None
    ) -> None:
        super().__init__(message, code=code, endpoint=endpoint, request_id=request_id)
        self.until = until


class AuthenticationFailed(MarketoError):
    """The credentials were refused, or the API user may not do this."""


class Refused(MarketoError):
    """Marketo will give the same answer each time for this input."""


class OutcomeUnknown(MarketoError):
    """The call may have taken effect: time-out, reset, 5xx, 604, 611 or an answer that can't be read."""


def plain(problem: BaseException) -> str:
    """Return an error's words where they are syncd's own; those of libraries may quote values, so only its name."""
    if isinstance(problem, SyncdError):
        return str(problem)
    cause = getattr(problem, "orig", None) or problem
    state = getattr(cause, "sqlstate", None)
    return f"{type(cause).__name__} ({state})" if state else type(cause).__name__
