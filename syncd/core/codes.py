"""What each of Marketo's codes means for the next step.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/error-codes
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Kind = Literal[
    "retry",  # nothing was executed; the same call may go out again
    "reauthenticate",  # nothing was executed; fetch a token and send the same call again
    "denied",  # the API user may not do this
    "wait_for_reset",  # nothing was executed and nothing will be before the daily reset
    "unknown",  # a write may or may not have taken effect
    "empty",  # there is simply nothing to return
    "success_equivalent",  # what was asked for is already so
    "permanent",  # the same input will get the same answer
]

RESET_ZONE = ZoneInfo("America/Chicago")
"""Quotas are reset at midnight here, as error 607 is documented."""

EXPORT_QUOTA = "1029"
"""Among others: the megabytes of bulk files that a day allows are used up."""
RATE_WINDOW = 20.0
QUEUE_WAIT = 60.0


@dataclass(frozen=True)
class Verdict:
    """A code's class, how many seconds to wait where Marketo's limits tell, and what a person can do."""

    kind: Kind
    after: float | None = None
    advice: str = ""


_PERMANENT = Verdict("permanent")
_RETRY = Verdict("retry")
_ADDRESS_ADVICE = "is marketo.base_url the address of the REST endpoint?"

_ALWAYS: dict[str, Verdict] = {
    "600": Verdict("reauthenticate"),
    "601": Verdict("reauthenticate"),
    "602": Verdict("reauthenticate"),
    "603": Verdict(
        "denied",
        advice="give the API user's role the permission, or this machine a place on the IP allow-list",
    ),
    "605": _PERMANENT,
    "606": Verdict("retry", after=RATE_WINDOW / 2),
    "607": Verdict("wait_for_reset"),
    "608": _RETRY,
    "609": _PERMANENT,
    "610": Verdict("permanent", advice=_ADDRESS_ADVICE),
    "612": _PERMANENT,
    "613": _PERMANENT,
    "614": _RETRY,
    "615": Verdict("retry", after=1.0),
    "616": _PERMANENT,
    "702": Verdict("empty"),
    "713": _RETRY,
    "719": _RETRY,
    "1014": _RETRY,
    "1015": Verdict("success_equivalent"),
    "1016": Verdict("retry", after=QUEUE_WAIT),
    "1019": Verdict("retry", after=QUEUE_WAIT),
    "1020": Verdict("wait_for_reset"),
    "1037": Verdict("success_equivalent"),
    "HTTP 401": Verdict("denied", advice="check marketo.client_id and marketo.client_secret"),
    "HTTP 403": Verdict("denied", advice="something between syncd and Marketo refuses the call"),
    "HTTP 404": Verdict("permanent", advice=_ADDRESS_ADVICE),
    "HTTP 413": Verdict("permanent", advice="send fewer or smaller records: a body may have 1 MB"),
    "HTTP 414": Verdict("permanent", advice="ask for fewer fields or values: a URI may have 8 KB"),
    "HTTP 429": Verdict("retry", after=RATE_WINDOW / 2),
}

UNREADABLE = "answer"
"""The code of an answer that came, and can't be read."""

_IN_DOUBT = frozenset(
    {"604", "611", "500", "502", "503", "504"}
    | {"transport", UNREADABLE, "HTTP 408", "HTTP 500", "HTTP 502", "HTTP 503", "HTTP 504"}
)
"""After these a write may have been done: a time-out, an unhandled exception, a gateway that gave up."""

_RECORD_RETRY = frozenset({"1014", "1016", "1019", "1020", "1029", "604", "608", "611", "615", "713", "719"})


def classify(code: str, message: str, *, writes: bool) -> Verdict:
    """Tell what a response-level code means.

    code: Marketo's digits, "HTTP 502" for a bare status, "transport" or "answer" when no usable answer came.
    message: Marketo's text; only 1029 needs it, which means three different things.
    writes: whether repeating the call could change something twice.
    """
    if code in _IN_DOUBT:
        return Verdict("unknown") if writes else _RETRY
    if code == "1029":
        return _bulk_refusal(message)
    known = _ALWAYS.get(code)
    if known is not None:
        return Verdict("permanent", advice=known.advice) if known.kind == "empty" and writes else known
    if re.fullmatch(r"HTTP 3\d\d", code):
        return Verdict("permanent", advice=_ADDRESS_ADVICE)
    if re.fullmatch(r"[67]\d\d|1\d\d\d|HTTP 4\d\d", code):
        return _PERMANENT
    return Verdict("unknown") if writes else _PERMANENT


def _bulk_refusal(message: str) -> Verdict:
    """Read 1029's text: the day's export volume is used up, the queue is full, or the job is in it already.

    Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-extract/bulk-extract
    """
    text = message.lower()
    if "quota" in text or "daily" in text:
        return Verdict("wait_for_reset")
    if "already" in text:
        return Verdict("success_equivalent")
    return Verdict("retry", after=QUEUE_WAIT)


def record_retryable(code: str) -> bool:
    """Tell whether a record that was skipped with this code may succeed later as it is."""
    return code in _RECORD_RETRY


def next_reset(now: datetime) -> datetime:
    """Return the next midnight in US Central time, as UTC: when daily quotas start anew."""
    tomorrow = now.astimezone(RESET_ZONE).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, RESET_ZONE).astimezone(UTC)


def last_reset(now: datetime) -> datetime:
    """Return the last midnight in US Central time, as UTC."""
    today = now.astimezone(RESET_ZONE).date()
    return datetime.combine(today, time.min, RESET_ZONE).astimezone(UTC)


_QUOTED_VALUE = re.compile(
    r"(?i)(value[s]?\s*[:=]?\s*)['\"\u2018\u201c].*?(\. required of type .*)?$", re.DOTALL
)
_QUOTED = re.compile(r"['\u2018]([^'\u2019]*)['\u2019]")
_NAME_BEFORE = re.compile(
    r"(?i)(field|type|partition|method|limit|in|status|list|program|parameter|action)\s*$"
)
_NAME = re.compile(r"[A-Za-z0-9_ .:-]{1,100}")
_ADDRESS = re.compile(r"\S+@\S+")
LONGEST_MESSAGE = 500
LONGEST_READ = 4_000


def without_values(message: str) -> str:
    """Return Marketo's text without what may be a person's data, fit for logs and exceptions.

    Several texts echo the refused value ("Invalid value for field 'x' and value 'y'"); names of
    fields, types and partitions stay, everything else in quotes and every address goes.
    """
    # What is cut off in the end need not be looked at: a refused text may be echoed at length.
    text = _QUOTED_VALUE.sub(lambda found: f"{found[1]}'…'{found[2] or ''}", message[:LONGEST_READ])
    text = _QUOTED.sub(_keep_names, text)
    return _ADDRESS.sub("…", text)[:LONGEST_MESSAGE]


def _keep_names(found: re.Match[str]) -> str:
    named = _NAME_BEFORE.search(found.string[: found.start()])
    return found[0] if named and _NAME.fullmatch(found[1]) else "'…'"
