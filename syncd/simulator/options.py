"""Everything about a simulated subscription that can be chosen, in one frozen object."""

from dataclasses import dataclass, replace
from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "small": {},
    "medium": {"leads": 20_000, "lists": 12, "programs": 12, "campaigns": 12, "dirt": 0.005},
    "large": {"leads": 1_000_000, "lists": 40, "programs": 40, "campaigns": 60, "dirt": 0.005},
    "nasty": {
        "leads": 2_000,
        "dirt": 0.05,
        "nasty": True,
        "commit_lag": 3.0,
        "scan_block": 400,
        "sparse_pages": True,
        "shuffle": True,
        "file_delay": 1.5,
        "merged_in_deleted": False,
        "strict_change_fields": False,
        "bulk_null_booleans": True,
        "blocked_fields": ("rating",),
    },
}
"""What each profile sets; a flag given beside the profile wins over it."""


@dataclass(frozen=True, slots=True)
class Options:
    """One subscription's settings; each field is also a flag of `python -m syncd.simulator`."""

    port: int = 0
    """TCP port to listen on; 0 picks a free one."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    profile: str = "small"
    """What the subscription holds: small, medium, large or nasty."""
    leads: int = 1_000
    """How many leads there are at the start; made on demand from the seed."""
    seed: int = 1
    """The same seed gives the same people, companies and memberships."""
    start: str = ""
    """Where the clock starts (ISO 8601); empty means now."""
    frozen: bool = False
    """The clock stands still from the start; with --seed and --start, answers are the same byte for byte."""
    load: str = ""
    """File with a dumped state to begin with."""
    history_days: float = 180.0
    """Over how many days before the start the leads were created."""
    lists: int = 5
    """How many static lists there are at the start."""
    programs: int = 5
    """How many programs there are at the start; the third is an engagement program."""
    campaigns: int = 4
    """How many smart campaigns there are at the start; trigger and batch campaigns take turns."""
    dirt: float = 0.0
    """Share of leads without an e-mail address, and again of leads with another lead's address."""
    nasty: bool = False
    """Values that break naive readers: newlines, quotes, NULs, U+2028, the word null."""
    client_id: str = "simulator"
    """Client id of the custom service."""
    client_secret: str = "simulator-secret"  # noqa: S105 - a stand-in's own
    """Client secret of the custom service."""
    other_clients: tuple[str, ...] = ()
    """Further custom services, each as ID:SECRET; they share the limits, not the export jobs."""
    user: str = "api.user@simulator.example.com"
    """Name of the API-only user, as the token's scope and the usage report show it."""
    denied: tuple[str, ...] = ()
    """Permissions the API user lacks (for example read-write-lead, read-asset): their calls answer 603."""
    token_seconds: float = 3600.0
    """Life of an access token."""
    query_token: bool = False
    """Accept the token as query parameter access_token too."""
    latency_ms: float = 0.0
    """Time every call takes; of a write, it passes between the look-up and the effect."""
    race_ms: float = 5.0
    """Least time between an upsert's look-up and its insert, so that overlapping ones can make duplicates."""
    time_out_scale: float = 1.0
    """Factor on the documented server time-outs; 0 switches them off."""
    limits: bool = True
    """Whether rate, concurrency and daily limits apply."""
    rate: int = 100
    """Calls allowed in one rate window; 0 switches the rate limit off."""
    rate_seconds: float = 20.0
    """Length of the rate window."""
    concurrency: int = 10
    """Calls allowed at once; 0 switches the concurrency limit off."""
    daily_quota: int = 50_000
    """Calls allowed in a day that ends at midnight US Central; 0 switches the quota off."""
    max_records: int = 300
    """Records, ids or filter values that one call may carry; 0 switches the limit off."""
    max_matches: int = 1_000
    """Leads that a filter may match; 0 switches the limit off."""
    max_members: int = 100_000
    """Members that a program may have to be filtered by anything but the lead; 0 switches the limit off."""
    max_uri: int = 8_192
    """Longest request URI in bytes; 0 switches the limit off."""
    max_body: int = 1_048_576
    """Longest JSON body in bytes; 0 switches the limit off."""
    export_seconds: float = 1.0
    """Time a bulk job takes once it runs."""
    import_seconds: float = 1.0
    """Time a bulk import takes once it runs."""
    export_running: int = 2
    """Bulk extract jobs that run at once; 0 switches the limit off."""
    export_queued: int = 10
    """Bulk extract jobs that wait or run at once; 0 switches the limit off."""
    export_mb: float = 500.0
    """Megabytes of bulk files a day; 0 switches the limit off."""
    export_days: int = 31
    """Longest date range of a bulk extract filter in days; 0 switches the limit off."""
    updated_at_filter: bool = True
    """Whether bulk extracts may filter by updatedAt (else 1035)."""
    smart_list_filter: bool = False
    """Whether lead extracts may filter by smart list (else 1035)."""
    file_delay: float = 0.0
    """Seconds for which a Completed job's file still answers 404."""
    file_days: float = 7.0
    """Days a bulk file is kept."""
    bulk_null_booleans: bool = False
    """Bulk files show a false emailSuspended as null, as recorded."""
    commit_lag: float = 0.0
    """Longest time by which an activity may show later than its date."""
    scan_block: int = 3_000
    """Activities that one call of a feed looks through."""
    sparse_pages: bool = False
    """Now and then a feed's page is empty though more follow."""
    strict_change_fields: bool = True
    """Lead changes are limited to the fields asked for."""
    delete_days: float = 14.0
    """Days for which deletions show."""
    merged_in_deleted: bool = False
    """Losers of a merge show among the deleted leads too."""
    merge_logged: bool = True
    """What a merge fills in shows among the changed values too; no source says whether it does."""
    merge_limit: int = 25
    """Losers allowed in one merge; 0 switches the limit off."""
    list_filter_limit: int = 0
    """Members from which a feed refuses listId with 1003; 0 never does."""
    company_fields: str = "refuse"
    """What Sync Leads does with company fields: refuse (1021) or write."""
    overlong: str = "refuse"
    """What becomes of text that is too long: refuse (1003) or truncate."""
    blocked_fields: tuple[str, ...] = ()
    """Fields whose updates by API are silently dropped."""
    max_custom_fields: int = 0
    """Custom lead fields the API may create in total (1028); 0 means any number."""
    shuffle: bool = False
    """Leads of filters, lists and programs come in no useful order."""
    missing_lead: str = "empty"
    """What reading an unknown lead by id gives: empty or 1004."""
    missing_list: str = "1013"
    """What reading the leads of an unknown list gives: 1013 or empty."""
    missing_loser: str = "1004"
    """What a merge does about losers that do not exist: refuse with 1004, or ignore them."""
    match_case: bool = False
    """Letter case counts where leads are looked up, by e-mail address for example."""
    duplicate_text: str = "recorded"
    """Text of 1007: as recorded from the service, or as documented."""
    percent: str = "decimal"
    """What percent fields take: decimal or whole numbers."""
    async_result: str = "full"
    """What Sync Leads answers with asyncProcessing: the full result as always, or none."""
    field_errors: str = "record"
    """How wrong new fields are refused: record by record, or the call as a whole."""
    cadences: str = "all"
    """Names of nurture cadences the bulk filter takes: all, short (norm, pause) or long (normal, paused)."""
    cancelled: str = "Cancelled"
    """Spelling of a cancelled export job's status: Cancelled or Canceled."""
    ssv: str = "semicolon"
    """What separates the values in SSV files: semicolon or space."""
    paging_token_days: float = 0.0
    """Days after which a paging token of the activity feeds is refused with 1003; 0 never does."""
    api_method_name: str = ""
    """Text of the attribute API Method Name in the activities that writes by API leave; empty leaves it out."""
    until_stdin_closes: bool = False
    """End when standard input is closed, so that no simulator outlives its parent."""
    gzip: bool = True
    """Compress answers of a kilobyte and more when the client asks for it."""

    @classmethod
    def of(cls, **given: Any) -> "Options":
        """Options of a profile, with what was given on top of it."""
        profile = given.get("profile", "small")
        if profile not in PROFILES:
            raise ValueError(f"There is no profile {profile!r}; choose from {', '.join(PROFILES)}.")
        return replace(cls(), **{**PROFILES[profile], **given})


CHOICES: dict[str, tuple[str, ...]] = {
    "profile": tuple(PROFILES),
    "company_fields": ("refuse", "write"),
    "overlong": ("refuse", "truncate"),
    "missing_lead": ("empty", "1004"),
    "missing_list": ("1013", "empty"),
    "missing_loser": ("1004", "ignore"),
    "duplicate_text": ("recorded", "documented"),
    "percent": ("decimal", "whole"),
    "async_result": ("full", "none"),
    "field_errors": ("record", "call"),
    "cadences": ("all", "short", "long"),
    "cancelled": ("Cancelled", "Canceled"),
    "ssv": ("semicolon", "space"),
}


def checked(name: str, value: Any) -> Any:
    """A value that an option can have, or ValueError."""
    default = getattr(Options(), name)
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        return tuple(str(part) for part in value)
    fits = type(value) is type(default) or (isinstance(default, float) and type(value) is int)
    if not fits or (isinstance(default, (int, float)) and not 0 <= value < 2**53):
        raise ValueError(f"{value!r} is no value for {name}.")
    if value not in CHOICES.get(name, (value,)):
        raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}.")
    return value
