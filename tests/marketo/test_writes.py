"""The call of each operation: where it goes, and what it carries."""

from typing import Any

import pytest

from syncd.core.operations import CATALOGUE
from syncd.core.outbox import Shape
from syncd.marketo.writes import build

LISTED = {"listId": 9}
MEMBER = {"programId": 4, "statusName": "Sent"}
TOKENS = [{"name": "{{my.x}}", "value": "1"}]
FIELD = {"name": "size", "displayName": "Size", "dataType": "integer"}

CALLS: list[tuple[str, dict[str, Any], Any, str, Any]] = [
    ("create_or_update", {}, {"email": "a@b.c"}, "POST /rest/v1/leads.json", {"action": "createOrUpdate", "lookupField": "id"}),
    ("create_only", {}, {"email": "a@b.c"}, "POST /rest/v1/leads.json", {"action": "createOnly"}),
    ("update_only", {}, {"id": 1}, "POST /rest/v1/leads.json", {"action": "updateOnly", "input": [{"id": 1}]}),
    ("create_duplicate", {}, {"email": "a@b.c"}, "POST /rest/v1/leads.json", {"action": "createDuplicate"}),
    ("delete", {}, {"id": 1}, "POST /rest/v1/leads/delete.json", {"input": [{"id": 1}]}),
    ("push", {"programName": "P", "reason": "r"}, {"email": "a"}, "POST /rest/v1/leads/push.json",
        {"programName": "P", "reason": "r", "input": [{"email": "a"}], "lookupField": "id"}),
    ("submit_form", {"formId": 3}, {"leadFormFields": {}}, "POST /rest/v1/leads/submitForm.json",
        {"formId": 3, "input": [{"leadFormFields": {}}]}),
    ("merge", {"mergeInCRM": True}, {"id": 1, "leadIds": [2, "3"]}, "POST /rest/v1/leads/1/merge.json",
        {"leadIds": "2,3", "mergeInCRM": "true"}),
    ("associate", {"cookie": "id:x&token:y"}, {"id": 1}, "POST /rest/v1/leads/1/associate.json", {"cookie": "id:x&token:y"}),
    ("add_to_list", LISTED, {"id": 1}, "POST /rest/v1/lists/9/leads.json", {"input": [{"id": 1}]}),
    ("remove_from_list", LISTED, {"id": 1}, "DELETE /rest/v1/lists/9/leads.json", {"input": [{"id": 1}]}),
    ("set_program_status", MEMBER, {"id": 1}, "POST /rest/v1/programs/4/members/status.json",
        {"statusName": "Sent", "input": [{"leadId": 1}]}),
    ("remove_from_program", {"programId": 4}, {"id": 1},
        "POST /rest/v1/programs/4/members/delete.json", {"input": [{"leadId": 1}]}),
    ("update_partition", {}, {"id": 1}, "POST /rest/v1/leads/partitions.json", {"input": [{"id": 1, "partitionName": None}]}),
    ("trigger_campaign", {"campaignId": 8, "tokens": TOKENS}, {"id": 1}, "POST /rest/v1/campaigns/8/trigger.json",
        {"input": {"leads": [{"id": 1}], "tokens": TOKENS}}),
    ("create_field", {}, FIELD, "POST /rest/v1/leads/schema/fields.json", {"input": [FIELD]}),
    ("update_field", {}, {"name": "size", "isHidden": True}, "POST /rest/v1/leads/schema/fields/size.json",
        {"input": [{"isHidden": True}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "options", "payload", "where", "what"), CALLS, ids=[c[0] for c in CALLS]
)
def test_each_operation_has_its_call(
    operation: str, options: dict[str, Any], payload: Any, where: str, what: dict[str, Any]
) -> None:
    call = build(Shape(operation, "id", None, options), [payload], [1]).described()
    assert f"{call['method']} {call['path']}" == where
    carried = call.get("body") or call.get("query")
    assert {key: carried[key] for key in what} == what


def test_no_operation_is_left_out() -> None:
    assert [call[0] for call in CALLS] == list(CATALOGUE)


@pytest.mark.parametrize("operation", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_a_call_takes_no_more_than_marketo_does(operation: Any) -> None:
    records = [{"id": n, "name": "n", "leadIds": [1]} for n in range(operation.records + 1)]
    options = {"listId": 1, "programId": 1, "campaignId": 1, "cookie": "c"}
    with pytest.raises(ValueError, match=str(operation.records)):
        build(Shape(operation.name, "id", None, options), records, range(len(records)))
