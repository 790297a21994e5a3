"""The activity types of a subscription, with the attributes that are known of each."""

# ruff: noqa: E501 - one line a type

from typing import Any

VISIT, FORM, CLICK, NEW_LEAD, CHANGE, SCORE = 1, 2, 3, 12, 13, 22
LIST_ADD, LIST_REMOVE, MERGE, DELETE, REQUEST_CAMPAIGN, PARTITION = 24, 25, 32, 37, 47, 100
STATUS, MEMBER_DATA, EXECUTE_CAMPAIGN, PUSH = 104, 123, 155, 145

_TABLE: dict[int, tuple[str, str, str]] = {
    1: ("Visit Webpage", "Webpage ID:integer", "Client IP Address:string|Query Parameters:string|Referrer URL:string|User Agent:string|Webpage URL:string"),
    2: ("Fill Out Form", "Webform ID:integer", "Client IP Address:string|Form Fields:text|Query Parameters:string|Referrer URL:string|User Agent:string|Webpage ID:integer"),
    3: ("Click Link", "Link ID:integer", "Client IP Address:string|Query Parameters:string|Referrer URL:string|User Agent:string|Webpage ID:integer"),
    6: ("Send Email", "Mailing ID:integer", "Campaign Run ID:integer|Step ID:integer"),
    7: ("Email Delivered", "Mailing ID:integer", "Campaign Run ID:integer|Step ID:integer"),
    8: ("Email Bounced", "Mailing ID:integer", "Category:string|Details:string|Email:string"),
    9: ("Unsubscribe Email", "Mailing ID:integer", "Client IP Address:string|User Agent:string"),
    10: ("Open Email", "Mailing ID:integer", "Device:string|Is Mobile Device:boolean|Platform:string|User Agent:string"),
    11: ("Click Email", "Mailing ID:integer", "Device:string|Is Mobile Device:boolean|Link:string|Platform:string"),
    12: ("New Lead", "", "API Method Name:string|Created Date:date|Form Name:string|Lead Source:string|List Name:string|Modifying User:string|Request Id:string|SFDC Type:string|Source Type:string"),
    13: ("Change Data Value", "Attribute Name:integer", "API Method Name:string|Modifying User:string|New Value:string|Old Value:string|Reason:string|Request Id:string|Source:string"),
    22: ("Change Score", "Score Name:integer", "Change Value:score|New Value:integer|Old Value:integer|Priority:integer|Reason:string|Relative Score:integer"),
    24: ("Add to List", "List ID:integer", "Source:string"),
    25: ("Remove from List", "List ID:integer", "Source:string"),
    27: ("Email Bounced Soft", "Mailing ID:integer", "Category:string|Details:string|Email:string"),
    32: ("Merge Leads", "Lead ID:integer", "Master Updated:boolean|Merge IDs:string|Merge Source:string|Merged in Sales:boolean"),
    37: ("Delete Lead", "Lead ID:integer", "Campaign:string|Remove from CRM:boolean"),
    38: ("Send Alert", "Mailing ID:integer", "Send To List:string|Send To Owner:string"),
    46: ("Interesting Moment", "Type:string", "Date:datetime|Description:string|Source:string"),
    47: ("Request Campaign", "Campaign ID:integer", "Source:string"),
    100: ("Change Lead Partition", "New Partition ID:integer", "Old Partition ID:integer|Reason:string"),
    104: ("Change Status in Progression", "Program ID:integer", "Acquired By:boolean|New Status:string|New Status ID:integer|Old Status:string|Old Status ID:integer|Program Member ID:integer|Reason:string|Success:boolean"),
    113: ("Add to Nurture", "Program ID:integer", "Track ID:integer|Track Name:string"),
    114: ("Change Nurture Track", "Program ID:integer", "New Track ID:integer|Previous Track ID:integer"),
    115: ("Change Nurture Cadence", "Program ID:integer", "New Nurture Cadence:string|Previous Nurture Cadence:string"),
    123: ("Change Program Member Data", "Program ID:integer", "Attribute Name:string|New Value:string|Old Value:string|Reason:string|Source:string"),
    145: ("Push Lead to Marketo", "Program ID:integer", "API Method Name:string|Modifying User:string|Reason:string|Request Id:string|Source:string"),
    155: ("Execute Campaign", "Campaign ID:integer", "Qualified:boolean|Source:string"),
}  # fmt: skip

NINETY_DAYS = frozenset((1, 3, 6, 7, 13, 19, 22, 24, 36, 47))
"""Types that are kept for 90 days; New Lead stays for ever, the others 25 months."""
RETENTION_DAYS = dict.fromkeys(NINETY_DAYS, 90.0) | {12: float("inf")}
OTHER_DAYS = 760.0


def _attribute(text: str) -> dict[str, str]:
    name, kind = text.split(":")
    return {"name": name, "dataType": kind}


def describe_types() -> list[dict[str, Any]]:
    """All types as activities/types.json shows them."""
    items = []
    for number, (name, primary, attributes) in _TABLE.items():
        item: dict[str, Any] = {
            "id": number,
            "name": name,
            "description": f"A person's record of the kind {name}",
        }
        if primary:
            item["primaryAttribute"] = _attribute(primary)
        item["attributes"] = [_attribute(a) for a in attributes.split("|")]
        items.append(item)
    return items


def known_type(number: int) -> bool:
    """Whether there is such a type."""
    return number in _TABLE
