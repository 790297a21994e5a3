"""column_name: every field of Marketo gets a column of its own that SQL takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.fields import COLUMN_TYPES, column_name, column_type

LONGEST_IN_POSTGRES = 63
SYSTEM_COLUMNS = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"]


@pytest.mark.parametrize(
    ("api", "column"),
    [
        ("email", "email"),
        ("firstName", "first_name"),
        ("mktoIsPartner", "mkto_is_partner"),
        ("anonymousIP", "anonymous_ip"),
        ("SFDCType", "sfdc_type"),
        ("leadScore2", "lead_score2"),
        ("Lead_Source__c", "lead_source__c"),
        ("urlOfHTMLPage", "url_of_html_page"),
        ("with space-and.dots", "with_space_and_dots"),
        ("_private", "private"),
        ("___", "field"),
        ("", "field"),
        ("näme", "n_me"),
        ("名前", "field"),
    ],
)
def test_a_column_is_the_field_in_snake_case(api, column):
    assert column_name(api, ()) == column


def test_fields_that_fold_to_the_same_are_numbered():
    taken: list[str] = []
    for name in ("leadScore", "lead_score", "LeadScore", "leadscore"):
        taken.append(column_name(name, taken))
    assert taken == ["lead_score", "lead_score_2", "lead_score_3", "leadscore"]


def test_a_field_cannot_take_one_of_syncds_own_columns():
    assert column_name("_synced_at", {"id", "_synced_at"}) == "synced_at"


def test_long_names_that_begin_alike_stay_apart():
    taken: list[str] = []
    for n in range(12):
        taken.append(column_name("a" * 70 + str(n), taken))
    assert len(set(taken)) == 12
    assert max(map(len, taken)) <= LONGEST_IN_POSTGRES


@pytest.mark.parametrize("name", SYSTEM_COLUMNS)
def test_the_names_of_postgresqls_own_columns_are_not_used(name):
    assert column_name(name, ()) != name


def test_a_name_that_begins_with_a_digit_needs_no_quotes_in_sql():
    assert re.fullmatch(r"[a-z][a-z0-9_]*", column_name("2ndEmail", ()))


@given(
    st.lists(
        st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_]{1,70}", fullmatch=True)), max_size=30
    )
)
def test_every_column_is_valid_and_unlike_all_others(names):
    taken: list[str] = []
    for name in names:
        column = column_name(name, taken)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column), (name, column)
        assert len(column) <= LONGEST_IN_POSTGRES
        assert column not in taken
        assert column not in SYSTEM_COLUMNS
        taken.append(column)


@given(st.lists(st.text(max_size=20), max_size=10))
def test_the_same_fields_in_the_same_order_give_the_same_columns(names):
    def columns() -> list[str]:
        taken: list[str] = []
        for name in names:
            taken.append(column_name(name, taken))
        return taken

    assert columns() == columns()


@pytest.mark.parametrize(
    "data_type", ["string", "text", "email", "phone", "url", "formula", "lead_function", "array", "?"]
)
def test_every_type_that_is_no_number_date_or_boolean_is_text(data_type):
    assert column_type(data_type) == "text"


def test_the_typed_columns_are_those_of_marketos_types():
    assert {t: column_type(t) for t in COLUMN_TYPES} == COLUMN_TYPES
    assert column_type("integer") == "bigint"
    assert column_type("datetime") == "timestamptz"
