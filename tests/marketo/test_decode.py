"""From bytes to an envelope or an error, without a network."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.errors import (
    AuthenticationFailed,
    MarketoError,
    OutcomeUnknown,
    QuotaExhausted,
    Refused,
    Retryable,
)
from syncd.marketo.decode import decode, parse, server_time, skim
from syncd.marketo.endpoints import LEADS, SYNC_LEADS
from syncd.marketo.models import Leads

calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def read(body, *, endpoint=LEADS, status=200):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode(endpoint, status, {}, raw, now=NOW)


def refusal(code, message="no", request_id="10c3#1a05f2d4c00"):
    return {"requestId": request_id, "success": False, "errors": [{"code": code, "message": message}]}


def test_a_good_answer_becomes_an_envelope():
    envelope = read(
        {
            "requestId": "262e#17d4f046342",
            "success": True,
            "result": [{"id": 1}],
            "nextPageToken": "T",
            "moreResult": True,
        }
    )
    assert (envelope.request_id, list(envelope.result)) == ("262e#17d4f046342", [{"id": 1}])
    assert (envelope.next_token, envelope.more) == ("T", True)
    assert envelope.server_time == datetime(2021, 11, 23, 22, 57, 7, 394000, UTC)


def test_a_missing_result_is_an_empty_one():
    envelope = read({"requestId": "a#b", "success": True, "nextPageToken": "T", "moreResult": False})
    assert (envelope.result, envelope.more) == ([], False)


def test_asset_answers_carry_empty_errors_and_warnings_as_text():
    body = {"success": True, "errors": [], "requestId": "a#b", "warnings": ["No assets found"]}
    assert read(body).warnings == ["No assets found"]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("606", "Max rate limit", Retryable),
        ("607", "Daily quota reached", QuotaExhausted),
        ("603", "Access denied", AuthenticationFailed),
        ("604", "Request timed out", Retryable),
        ("610", "Requested resource not found", Refused),
        ("1003", "Invalid data", Refused),
        ("1029", "Export daily quota 500MB exceeded.", QuotaExhausted),
        ("1029", "Too many jobs (10) in queue", Retryable),
        ("1029", "already queued", Refused),
        (606, "a number, for once", Retryable),
    ],
)
def test_each_code_becomes_the_error_of_its_class(code, message, kind):
    with pytest.raises(kind) as caught:
        read(refusal(code, message))
    assert (caught.value.code, caught.value.endpoint) == (str(code), "leads")
    assert caught.value.request_id == "10c3#1a05f2d4c00"


def test_the_quota_comes_back_by_marketos_own_clock():
    """This machine's clock may be wrong by days; the request id tells the right time."""
    soon = f"1#{int(datetime(2027, 1, 5, 12, tzinfo=UTC).timestamp() * 1000):x}"
    with pytest.raises(QuotaExhausted) as caught:
        read(refusal("607", request_id=soon))
    assert caught.value.until == datetime(2027, 1, 6, 6, tzinfo=UTC)
    with pytest.raises(QuotaExhausted) as caught:
        read(refusal("607", request_id="odd"))
    assert caught.value.until == datetime(2026, 11, 24, 6, tzinfo=UTC)


def test_the_body_is_believed_before_the_status():
    with pytest.raises(Retryable) as caught:
        read(refusal("606"), endpoint=SYNC_LEADS, status=503)
    assert caught.value.code == "606"


def test_nothing_found_is_an_empty_result():
    assert read(refusal("702")).result == []


def test_an_error_never_repeats_the_value_that_was_refused():
    message = "Invalid value for field 'email' and value 'jane.doe@example.com'"
    with pytest.raises(Refused) as caught:
        read(refusal("1003", message))
    assert "jane" not in str(caught.value)
    assert "'email'" in str(caught.value)


@calmly
@given(st.binary(max_size=200), st.sampled_from([200, 206, 302, 404, 413, 500, 502, 504]), st.booleans())
def test_any_bytes_become_an_envelope_or_a_marketo_error(body, status, writes):
    endpoint = SYNC_LEADS if writes else LEADS
    error = None
    try:
        decode(endpoint, status, {}, body, now=NOW)
    except MarketoError as raised:
        error = raised
    if status in {200, 206, 500, 502, 504}:
        assert isinstance(error, OutcomeUnknown if writes else Retryable)
    assert error is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@calmly
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "success": st.booleans() | JSON,
            "errors": st.lists(st.fixed_dictionaries({}, optional={"code": JSON, "message": JSON})) | JSON,
            "result": JSON,
            "requestId": JSON,
            "nextPageToken": JSON,
            "moreResult": JSON,
            "warnings": JSON,
        },
    )
)
def test_any_object_becomes_an_envelope_or_a_marketo_error(document):
    try:
        envelope = read(document)
    except MarketoError:
        return
    assert isinstance(envelope.result, list | Leads)
    assert isinstance(envelope.warnings, list)


@calmly
@given(st.text())
def test_request_ids_of_any_kind_give_a_time_or_none(text):
    when = server_time(text)
    assert when is None or when.tzinfo is UTC


def test_half_a_surrogate_pair_does_not_stop_a_page():
    body = (
        rb'{"success": true, "requestId": "a#b", "result": [{"id": 1, "a": "x\ud83dy", "b": "\ud83d\ude00"}]}'
    )
    assert read(body).result == [{"id": 1, "a": "x\ufffdy", "b": "\U0001f600"}]
    assert read(body).body is None, "PostgreSQL would not take it as it is"


def test_an_answer_without_flaw_is_there_as_marketo_wrote_it():
    body = (
        b'{"success": true, "requestId": "a#b", "result": [{"id": 1, "n": 1000000000000000000000000000001}]}'
    )
    assert read(body).body == body


PIECES = st.sampled_from(
    [
        rb"\ud83d", rb"\ud83d\ude00", rb"\ude00", rb"\u0000", rb"\q", b"\\", b'"', b"\xff", b"\xc3\xbc",
        b"\xed\xa0\x80", b"\x01", b"\n", b"01", b"-", b"1.", b".5", b"1e5", b"NaN", b"nul", b"null", b"true",
        b"{", b"}", b"[", b"]", b",", b":", b" ", b"id", b"1",
    ]
)  # fmt: skip


@calmly
@given(st.lists(PIECES, max_size=6).map(b"".join), st.booleans())
def test_what_is_passed_over_is_as_flawless_as_what_is_read(value, quoted):
    inner = b'"' + value + b'"' if quoted else value
    body = b'{"requestId": "a#b", "success": true, "result": [{"id": 7, "odd": ' + inner + b"}]}"
    if (envelope := skim(LEADS, body)) is not None:
        assert list(envelope.result) == json.loads(body)["result"]
        assert envelope.result.ids == [lead["id"] for lead in envelope.result]
        assert envelope.body == body


def test_a_page_is_skimmed_where_nothing_is_odd_and_read_where_a_lead_has_no_id():
    page = {"requestId": "a#b", "success": True, "moreResult": False, "result": [{"id": 1, "a": "x"}]}
    assert skim(LEADS, json.dumps(page).encode()) is not None
    assert skim(LEADS, json.dumps(page | {"result": [{"a": "x"}]}).encode()) is None
    assert skim(LEADS, json.dumps(refusal("1006")).encode()) is None


def test_bytes_that_are_not_utf8_do_not_stop_a_page():
    assert parse(b'{"a": "M\xfcller"}') == {"a": "M\ufffdller"}
