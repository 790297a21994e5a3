"""Settings: the file, the environment, secrets, and what a mistake in them says."""

from pathlib import Path

import pytest

from syncd import settings
from syncd.errors import ConfigError

SECRET = "hush-hush-0123456789"  # noqa: S105 - made up
URL = "postgresql://somebody:open-sesame-42@db.example:5433/warehouse"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that no syncd.toml of the machine is found."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    file = folder / "here.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as problem:
        settings.load(file)
    return str(problem.value)


def test_without_a_file_and_variables_everything_has_its_default(folder):
    loaded = settings.load()
    assert loaded == settings.Settings()
    assert loaded.budget.calls_per_20_seconds == 50
    assert loaded.database.mirror_schema == "marketo"
    assert loaded.database.url is None


def test_the_file_is_read(folder):
    file = written(
        folder, f'[marketo]\nclient_id = "me"\n[database]\nurl = "{URL}"\n[schedule]\nschema = 5\n'
    )
    loaded = settings.load(file)
    assert loaded.marketo.client_id == "me"
    assert loaded.database.url is not None
    assert loaded.database.url.get_secret_value() == URL
    assert loaded.schedule.schema_ == 5


def test_a_variable_wins_over_the_file_and_leaves_its_neighbours(folder, monkeypatch):
    file = written(folder, '[marketo]\nclient_id = "file"\nbase_url = "https://file.example"\n')
    monkeypatch.setenv("SYNCD_MARKETO__CLIENT_ID", "variable")
    loaded = settings.load(file)
    assert loaded.marketo.client_id == "variable"
    assert loaded.marketo.base_url == "https://file.example"


@pytest.mark.parametrize(
    ("variable", "value", "section", "attribute", "expected"),
    [
        ("SYNCD_SCHEDULE__SCHEMA", "7", "schedule", "schema_", 7),
        ("syncd_outbox__workers", "2", "outbox", "workers", 2),
        ("SYNCD_MIRROR__DELETED_LEADS", "purge", "mirror", "deleted_leads", "purge"),
        ("SYNCD_LOG__LEVEL", "debug", "log", "level", "debug"),
    ],
)
def test_variables_reach_every_section(folder, monkeypatch, variable, value, section, attribute, expected):
    monkeypatch.setenv(variable, value)
    assert getattr(getattr(settings.load(), section), attribute) == expected


def test_the_file_is_found_by_name_by_variable_and_by_argument_which_wins(folder, monkeypatch):
    def naming(place: Path, workers: int) -> Path:
        place.write_text(f"[outbox]\nworkers = {workers}\n")
        return place

    naming(folder / "syncd.toml", 1)
    assert settings.load().outbox.workers == 1
    monkeypatch.setenv("SYNCD_CONFIG", str(naming(folder / "variable.toml", 2)))
    assert settings.load().outbox.workers == 2
    assert settings.load(naming(folder / "argument.toml", 3)).outbox.workers == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[marketo]\nclient_ident = 'x'", "marketo.client_ident is no setting; did you mean client_id?"),
        ("[outbocks]\nworkers = 1", "outbocks is no setting; did you mean outbox?"),
        ("[daemon]\nzzz = 1", "daemon.zzz is no setting; config/syncd.example.toml lists them all"),
        ("[schedule]\nschema_ = 1", "schedule.schema_ is no setting; did you mean schema?"),
        ("[outbox]\nworkers = 0", "outbox.workers: input should be greater than or equal to 1"),
        ("[outbox]\nbatch_size = 301", "outbox.batch_size: input should be less than or equal to 300"),
        ("[outbox]\nworkers = 'two'", "outbox.workers: input should be a valid integer"),
        ("[mirror]\ndeleted_leads = 'burn'", "mirror.deleted_leads: input should be 'keep' or 'purge'"),
        ("[mirror]\nbackfill_from = 'soon'", "mirror.backfill_from: "),
        ("[database]\nmirror_schema = 'My Schema'", "database.mirror_schema: must be lower-case letters"),
        ("[database]\nmirror_schema = 'syncd'", "mirror_schema and machinery_schema must differ"),
        ("marketo = 5", "marketo: input should be a valid dictionary"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_the_key(folder, text, said):
    message = refusal(written(folder, text))
    assert said in message
    assert "here.toml" in message
    assert "\n" not in message


def test_every_mistake_is_told_at_once(folder):
    message = refusal(written(folder, "[outbox]\nworkers = 0\n[log]\nlevel = 'loud'\n"))
    assert "outbox.workers" in message
    assert "log.level" in message


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("SYNCD_MARKETO__CLIENT_IDD", "did you mean SYNCD_MARKETO__CLIENT_ID?"),
        ("SYNCD_MARKETO", "is no setting"),
        ("SYNCD_CONFIGURATION", "is no setting"),
        ("syncd_databse__url", "did you mean SYNCD_DATABASE__URL?"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_right_name(folder, monkeypatch, variable, said):
    monkeypatch.setenv(variable, "x")
    message = refusal()
    assert variable in message
    assert said in message


def test_variables_of_other_programs_are_nothing_to_us(folder, monkeypatch):
    monkeypatch.setenv("MY_SYNCD_THING", "x")
    monkeypatch.setenv("SYNCDX", "x")
    settings.load()


@pytest.mark.parametrize(
    "text", ["[marketo\n", "a = \n", "[a]\nb = 1\nb = 2\n", '[marketo]\nclient_id = "open\n']
)
def test_malformed_toml_is_named_with_its_line(folder, text):
    message = refusal(written(folder, text))
    assert "is not valid TOML" in message
    assert "line" in message


def test_a_file_that_is_not_there_or_is_no_text_is_told_plainly(folder):
    assert "can't be read: No such file" in refusal(folder / "nowhere.toml")
    assert "can't be read: Is a directory" in refusal(folder)
    (folder / "latin.toml").write_bytes(b'[marketo]\nclient_id = "\xe9"\n')
    assert "is not UTF-8" in refusal(folder / "latin.toml")


def test_a_secret_comes_from_its_own_file_without_the_newline(folder):
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "url").write_text(URL + "\n")
    file = written(folder, "[marketo]\nclient_secret_file = 'secret'\n[database]\nurl_file = 'url'\n")
    loaded = settings.load(file)
    assert loaded.marketo.client_secret is not None
    assert loaded.marketo.client_secret.get_secret_value() == SECRET
    assert loaded.database.url is not None
    assert loaded.database.url.get_secret_value() == URL


def test_a_secret_given_as_such_wins_over_the_file_that_may_then_be_missing(folder, monkeypatch):
    monkeypatch.setenv("SYNCD_MARKETO__CLIENT_SECRET", SECRET)
    monkeypatch.setenv("SYNCD_MARKETO__CLIENT_SECRET_FILE", str(folder / "nowhere"))
    secret = settings.load().marketo.client_secret
    assert secret is not None
    assert secret.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("key", "what"), [("marketo.client_secret", "client secret"), ("database.url", "database URL")]
)
def test_a_secret_file_that_can_not_be_read_is_told_plainly(folder, key, what):
    section, name = key.split(".")
    message = refusal(written(folder, f"[{section}]\n{name}_file = 'nowhere'\n"))
    assert f"the {what} can't be read from nowhere: No such file or directory" in message


def test_a_secret_file_of_bytes_that_are_no_text_is_told_plainly(folder):
    (folder / "secret").write_bytes(b"\xff\xfe\x00")
    message = refusal(written(folder, "[marketo]\nclient_secret_file = 'secret'\n"))
    assert "the client secret can't be read from secret" in message


def test_no_secret_shows_in_any_form_of_the_settings(folder):
    file = written(folder, f'[marketo]\nclient_secret = "{SECRET}"\n[database]\nurl = "{URL}"\n')
    loaded = settings.load(file)
    for shown in (repr(loaded), str(loaded), loaded.model_dump_json(), repr(loaded.model_dump())):
        assert SECRET not in shown
        assert "open-sesame" not in shown


@pytest.mark.parametrize(
    "text",
    [
        f'[marketo]\nclient_secret = "{SECRET}"\nclient_secrets = "{SECRET}"\n',
        f'[marketo]\nclient_secret = ["{SECRET}"]\n',
        f'[marketo]\nclient_secret = {{ a = "{SECRET}" }}\n',
        f'[outbox]\nworkers = "{SECRET}"\n',
        f'marketo = "{SECRET}"\n',
        f'[marketo]\nclient_secret = "{SECRET}\n',
    ],
)
def test_no_secret_shows_in_a_refusal(folder, text):
    assert SECRET not in refusal(written(folder, text))


def test_settings_are_fixed_once_they_are_read(folder):
    loaded = settings.load()
    with pytest.raises(ValueError, match="frozen"):
        loaded.outbox.workers = 9


def test_keys_are_written_as_in_the_file(folder):
    found = settings.keys()
    assert "schema" in found["schedule"]
    assert "schema_" not in found["schedule"]
    for section, names in found.items():
        for name in names:
            assert name == name.lower(), (section, name)
