"""Settings: one TOML file, every key also an environment variable SYNCD_<SECTION>__<KEY>."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from datetime import date  # noqa: TC003 - pydantic reads it at run time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from syncd.errors import ConfigError

PREFIX = "SYNCD_"
SHORTEST_SALT = 16
PLACES = (Path("syncd.toml"), Path("/etc/syncd/syncd.toml"))
_ROUNDING = 1e-9
_NOT_SETTINGS = {"SYNCD_CONFIG", "SYNCD_TEST_DATABASE"}


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", name):
        raise ValueError(
            "must be lower-case letters, digits and _, at most 41 of them, not starting with a digit"
        )
    return name


def _secret_from(path: Path | None, what: str) -> SecretStr | None:
    if path is None:
        return None
    try:
        return SecretStr(path.read_text(encoding="utf-8").strip())
    except OSError as problem:
        raise ValueError(f"the {what} can't be read from {path}: {problem.strerror}") from problem
    except UnicodeDecodeError:
        raise ValueError(f"the {what} can't be read from {path}: it is not UTF-8 text") from None


Policy = Literal["local_wins", "marketo_wins", "fail"]
Identifier = Annotated[str, AfterValidator(_identifier)]


class Section(BaseModel):
    """A section refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Marketo(Section):
    """Where Marketo is and who we are there."""

    base_url: str = Field(
        default="", description="https://123-ABC-456.mktorest.com, from Admin > Web Services"
    )
    client_id: str = Field(default="", description="of the custom service in Admin > LaunchPoint")
    client_secret: SecretStr | None = Field(default=None, description="or client_secret_file")
    client_secret_file: Path | None = Field(default=None, description="a file that holds the secret alone")
    timeout_scale: float = Field(default=1.0, gt=0, description="times each endpoint's own server time-out")

    @model_validator(mode="after")
    def _read_secret(self) -> Marketo:
        if self.client_secret is None:
            secret = _secret_from(self.client_secret_file, "client secret")
            object.__setattr__(self, "client_secret", secret)
        return self


class Database(Section):
    """Which PostgreSQL (16 or newer), and what the schemas and roles are called in it."""

    url: SecretStr | None = Field(default=None, description="postgresql://user:password@host:5432/name")
    url_file: Path | None = Field(default=None, description="a file that holds the URL alone")
    mirror_schema: Identifier = Field(default="marketo", description="the tables that people read")
    machinery_schema: Identifier = Field(default="syncd", description="cursors, queue, ledger")
    owner_role: Identifier = Field(
        default="syncd_owner", description="owns both schemas; nobody logs in as it"
    )
    reader_role: Identifier = Field(default="syncd_reader", description="may SELECT the mirror")
    writer_role: Identifier = Field(
        default="syncd_writer", description="reader, and may INSERT into the outbox"
    )
    pool_size: int = Field(default=12, ge=4, description="connections at most, for one replica")

    @model_validator(mode="after")
    def _read_url(self) -> Database:
        if self.url is None:
            object.__setattr__(self, "url", _secret_from(self.url_file, "database URL"))
        if self.mirror_schema == self.machinery_schema:
            raise ValueError("mirror_schema and machinery_schema must differ")
        return self


class Budget(Section):
    """How much of Marketo's limits all replicas together may use; the rest is for other integrations."""

    calls_per_20_seconds: int = Field(
        default=50, ge=1, le=1000, description="Marketo allows 100 in all, unless the contract says more"
    )
    concurrent_calls: int = Field(default=5, ge=1, le=10, description="Marketo allows 10 in all")
    calls_per_day: int = Field(default=30_000, ge=1, description="Marketo allows 50,000 on most contracts")
    export_mb_per_day: float = Field(
        default=400.0, gt=0, description="megabytes of bulk files in a day; Marketo allows 500 in all"
    )
    export_jobs: int = Field(
        default=2, ge=1, le=2, description="bulk exports under way at once; Marketo runs 2 in all"
    )
    outbox_share: float = Field(default=0.2, ge=0, le=1, description="floor of the outbox in each limit")
    changes_share: float = Field(default=0.1, ge=0, le=1, description="floor of changed leads")
    memberships_share: float = Field(default=0.05, ge=0, le=1, description="floor of lists and programs")
    backfill_share: float = Field(default=0.05, ge=0, le=1, description="floor of the first load")
    verify_share: float = Field(default=0.02, ge=0, le=1, description="floor of comparisons")
    marketo_calls_per_day: int | None = Field(
        default=None, ge=1, description="what the contract allows all integrations together"
    )
    reserve_per_day: int = Field(
        default=5_000, ge=0, description="calls of that which are always left to others"
    )
    usage_check_hours: float = Field(
        default=1.0, ge=0, description="how often Marketo is asked what others have used; 0: never"
    )

    @model_validator(mode="after")
    def _fit_shares(self) -> Budget:
        """Refuse floors that are more than the whole; those that are not given make room for those that are."""
        names = [name for name in type(self).model_fields if name.endswith("_share")]
        given = [name for name in names if name in self.model_fields_set]
        room = 1 - sum(getattr(self, name) for name in given)
        if room < -_ROUNDING:
            raise ValueError(f"{', '.join(given)} add up to {1 - room:g}; together they may be 1 at most")
        others = [name for name in names if name not in given]
        wanted = sum(getattr(self, name) for name in others)
        for name in others:
            object.__setattr__(self, name, getattr(self, name) * min(1.0, max(0.0, room) / wanted))
        return self

    def share_of(self, lane: str) -> float:
        """Return the floor of a lane."""
        return float(getattr(self, f"{lane}_share"))

    @property
    def quota(self) -> int:
        """Calls that Marketo allows all integrations together in a day."""
        return self.marketo_calls_per_day or max(50_000, self.calls_per_day + self.reserve_per_day)


class Mirror(Section):
    """Marketo to PostgreSQL."""

    backfill_from: date | None = Field(
        default=None, description="oldest creation date; found by itself if unset"
    )
    window_days: float = Field(default=31, gt=0, le=31, description="length of one bulk export's window")
    export_poll_seconds: float = Field(
        default=60, gt=0, description="Marketo renews a job's status each 60 s"
    )
    sweep_hours: float = Field(
        default=24,
        gt=0,
        description="how often all members of each list and program are read; activities in between",
    )
    campaign_calls_per_day: int = Field(
        default=3_000, ge=0, description="calls that read who went through which smart campaign: one a lead"
    )
    verify_campaign_leads: int = Field(
        default=100, ge=0, le=10_000, description="leads whose campaigns verify compares: one call each"
    )
    deleted_leads: Literal["keep", "purge"] = Field(
        default="keep", description="keep rows as tombstones, or not"
    )
    overlap_minutes: float = Field(default=60, ge=0, description="how far back a rebuilt paging token starts")
    retire_at_most: float = Field(
        default=0.05, ge=0, le=1, description="brake: a repair that would retire more than this share stops"
    )


class Fields(Section):
    """Which fields of leads are mirrored, and which as hashes; it acts before anything is stored."""

    include: list[str] = Field(default=[], description="API names or shell patterns; empty: all fields")
    exclude: list[str] = Field(default=[], description="wins over include and hash; never asked for")
    hash: list[str] = Field(default=[], description="kept as salted SHA-256; wins over include")
    hash_salt: SecretStr | None = Field(default=None, description="or hash_salt_file; needed by hash")
    hash_salt_file: Path | None = Field(default=None, description="a file that holds the salt alone")

    @model_validator(mode="after")
    def _read_salt(self) -> Fields:
        if self.hash_salt is None:
            object.__setattr__(self, "hash_salt", _secret_from(self.hash_salt_file, "salt"))
        for name in (*self.include, *self.exclude, *self.hash):
            if not name.strip() or name != name.strip():
                raise ValueError("a name is empty or has a space at an end")
        salt = self.hash_salt.get_secret_value() if self.hash_salt else ""
        if self.hash and len(salt) < SHORTEST_SALT:
            raise ValueError(
                f"hash needs a salt of {SHORTEST_SALT} characters or more; give SYNCD_FIELDS__HASH_SALT or hash_salt_file"
            )
        if named := [n for n in (*self.exclude, *self.hash) if n.lower() in {"id", "createdat"}]:
            raise ValueError(f"{named[0]} can be neither excluded nor hashed: the mirror works with it")
        left_out = self.include and not (_covers(self.include, "email") or _covers(self.hash, "email"))
        if left_out or _covers(self.exclude, "email"):
            raise ValueError(
                "email can't be left out, because the outbox keeps its order by it; put it under hash instead"
            )
        return self


def _covers(patterns: list[str], name: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


class Outbox(Section):
    """PostgreSQL to Marketo."""

    workers: int = Field(default=4, ge=1, le=10, description="calls that the outbox may have in flight")
    batch_size: int = Field(default=300, ge=1, le=300, description="records in one call")
    coalesce: bool = Field(
        default=True, description="send consecutive upserts or updates of one lead as one record"
    )
    import_from: int = Field(
        default=50_000,
        ge=0,
        description="waiting upserts of the same fields from which on they go by bulk import; 0: never",
    )
    import_poll_seconds: float = Field(
        default=15, gt=0, description="seconds between two looks at a bulk import; Marketo asks for 5 to 30"
    )
    import_unknown_wait_seconds: float = Field(
        default=3600,
        ge=0,
        description="how long the leads of a file stay closed of which nobody knows whether Marketo has it",
    )
    retry_base_seconds: float = Field(default=2, gt=0, description="upper bound of the first back-off")
    retry_cap_seconds: float = Field(default=900, gt=0, description="upper bound of every back-off")
    retry_at_most: int = Field(
        default=20,
        ge=1,
        description="attempts of one row in doubt, or put off by Marketo, before it is given up",
    )
    unknown_outcome_wait_seconds: float | None = Field(
        default=None,
        ge=0,
        description="how long a key stays closed after an unknown outcome; "
        "unset: as long as Marketo may go on working at the call",
    )
    keep_finished_days: int = Field(default=90, ge=1, description="age at which finished rows are pruned")


class Conflicts(Section):
    """Whose value stands where a row with a lock meets a change."""

    default: Policy = Field(default="fail", description="for every field that is not named under fields")
    fields: dict[str, Policy] = Field(default={}, description="by API name of the field")


class Schedule(Section):
    """How often each feed runs, in seconds."""

    schema_: float = Field(default=86_400, gt=0, alias="schema", description="field schema")
    changes: float = Field(default=60, gt=0, description="changed, deleted and merged leads")
    read_back: float = Field(
        default=30,
        gt=0,
        description="longest wait before leads that the outbox wrote are read back, 300 a call",
    )
    backfill: float = Field(default=60, gt=0, description="looks for windows that are not done")
    assets: float = Field(default=21_600, gt=0, description="partitions, lists, programs, campaigns")
    verify: float = Field(default=604_800, gt=0, description="compares every lead with Marketo")
    housekeeping: float = Field(default=300, gt=0, description="pruning, orphaned claims")


class Daemon(Section):
    """The long-running service."""

    stop_timeout_seconds: float = Field(default=30, gt=0, description="for calls in flight after SIGTERM")
    status_listen: str = Field(default="", description="host:port of /healthz and /metrics; empty: none")


class Log(Section):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal"
    )


class Settings(BaseSettings):
    """All of it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    marketo: Marketo = Marketo()
    database: Database = Database()
    budget: Budget = Budget()
    mirror: Mirror = Mirror()
    fields: Fields = Fields()
    outbox: Outbox = Outbox()
    conflicts: Conflicts = Conflicts()
    schedule: Schedule = Schedule()
    daemon: Daemon = Daemon()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which comes in as the initial values."""
        return env_settings, init_settings


def keys() -> dict[str, list[str]]:
    """Return every section with its keys, as they are written in the file."""
    found: dict[str, list[str]] = {}
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found[name] = [inner.alias or key for key, inner in section.model_fields.items()]
    return found


def find_file(path: Path | None) -> Path | None:
    """Return the file to read: the one given, SYNCD_CONFIG, ./syncd.toml or /etc/syncd/syncd.toml."""
    if path is None and (named := os.environ.get("SYNCD_CONFIG")):
        path = Path(named)
    if path is not None:
        return path
    return next((place for place in PLACES if place.is_file()), None)


def load(path: Path | None = None) -> Settings:
    """Read the file (see ``find_file``) and the environment.

    Raises ConfigError with one sentence for each mistake.
    """
    place = find_file(path)
    _refuse_unknown_variables()
    try:
        return Settings(**_read(place))
    except ValidationError as problem:
        where = f" (read from {place} and the environment)" if place else " (read from the environment)"
        raise ConfigError(
            "; ".join(_sentence(e) for e in problem.errors(include_input=False)) + where
        ) from None


def _read(place: Path | None) -> dict[str, Any]:
    if place is None:
        return {}
    try:
        return tomllib.loads(place.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{place} is not valid TOML: {problem}; mend that line") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{place} is not UTF-8 text; save it as UTF-8") from None
    except OSError as problem:
        raise ConfigError(
            f"{place} can't be read: {problem.strerror}; check --config and SYNCD_CONFIG"
        ) from None


def _refuse_unknown_variables() -> None:
    known = {f"{PREFIX}{section}__{key}".upper() for section, names in keys().items() for key in names}
    for variable in os.environ:
        name = variable.upper()
        if name.startswith(PREFIX) and name not in known | _NOT_SETTINGS:
            raise ConfigError(
                f"the environment variable {variable} is no setting{_nearest(name, sorted(known))}"
            )


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; config/syncd.example.toml lists them all"


def _sentence(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    name = ".".join(where)
    if error["type"] == "extra_forbidden":
        known = keys()
        names = list(known) if len(where) == 1 else known.get(where[0], [])
        return f"{name} is no setting{_nearest(where[-1], names)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"
