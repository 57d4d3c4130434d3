import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simvue import config
from simvue.exception import ConfigurationError

SECRET = "tk-never-shown-123"


@pytest.fixture
def place(tmp_path):
    """A home and a working directory of our own, and a `load` that sees nothing else."""
    return Place(tmp_path)


class Place:
    def __init__(self, root: Path) -> None:
        self.home, self.project = root / "home", root / "work" / "project"
        self.home.mkdir()
        self.project.mkdir(parents=True)

    def write(self, text: str, name: str = "simvue.toml", mode: int = 0o600) -> Path:
        file = self.project / name
        file.write_text(text)
        file.chmod(mode)
        return file

    def load(self, environ=None, **arguments) -> config.Config:
        environ = {"HOME": str(self.home), **(environ or {})}
        return config.load(environ=environ, cwd=self.project, **arguments)


def jwt(**claims) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([part.rstrip("=") for part in encoded] + ["signature"])


# ---- Where a setting comes from ---------------------------------------------------------


def test_without_any_setting_the_defaults_hold(place):
    settings = place.load()
    assert (settings.url, settings.token) == (None, None)
    assert settings.cache == place.home / ".simvue"
    assert settings.buffer_size == 64 << 20
    assert settings.policy == "wait"
    assert (settings.flush_interval, settings.init_timeout) == (1.0, 2.0)
    assert (settings.close_timeout, settings.linger) == (10.0, 600.0)
    assert settings.warnings == ()


def test_an_argument_beats_a_variable_which_beats_a_file(place):
    file = place.write(f'[server]\nurl = "http://file"\ntoken = "{SECRET}"')
    assert place.load().url == "http://file"
    assert place.load().url_source == str(file)
    environ = {"SIMVUE_URL": "http://variable"}
    assert place.load(environ).url == "http://variable"
    assert place.load(environ).url_source == "the environment variable SIMVUE_URL"
    assert place.load(environ).token_source == str(file)
    settings = place.load(environ, url="http://argument")
    assert settings.url == "http://argument"
    assert settings.url_source == "the argument server_url"


def test_an_empty_variable_or_value_counts_as_not_set(place):
    place.write('[server]\nurl = "http://file"\ntoken = ""')
    settings = place.load({"SIMVUE_URL": "", "SIMVUE_TOKEN": ""})
    assert settings.url == "http://file"
    assert settings.token is None


def test_a_token_may_be_anything_with_get_secret_value(place):
    class Secret:
        def get_secret_value(self) -> str:
            return SECRET

    assert place.load(token=Secret()).token == SECRET


def test_files_are_searched_upwards_simvue_toml_first_and_home_last(place):
    home = place.home / ".simvue.toml"
    home.write_text('[server]\nurl = "http://home"')
    assert place.load().url_source == str(home)
    dotted = place.write('[server]\nurl = "http://dotted"', ".simvue.toml")
    assert place.load().url_source == str(dotted)
    above = place.project.parent / "simvue.toml"
    above.write_text('[server]\nurl = "http://above"')
    assert place.load().url_source == str(above)


def test_a_section_of_a_file_replaces_that_of_the_project_whole(place):
    (place.project / "pyproject.toml").write_text(
        '[tool.simvue.run]\nname = "project"\ntags = ["p"]\n[tool.simvue.queue]\npolicy = "drop"'
    )
    assert place.load().run.tags == ("p",)
    place.write('[run]\nname = "file"')
    settings = place.load()
    assert settings.run.name == "file"
    assert settings.run.tags == ()
    assert settings.policy == "drop"


@pytest.mark.parametrize("section", ["server", "profiles.a", "offline"])
def test_a_project_cannot_say_where_tokens_are_sent_or_data_is_kept(place, section):
    key = "cache" if section == "offline" else "url"
    (place.project / "pyproject.toml").write_text(f'[tool.simvue.{section}]\n{key} = "http://x"')
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        place.load()


def test_a_broken_pyproject_is_a_note_because_it_is_not_ours(place):
    (place.project / "pyproject.toml").write_text("[tool.simvue\n")
    assert "is not TOML" in place.load().warnings[0]


def test_a_profile_takes_the_place_of_the_server_section(place):
    place.write(
        '[server]\nurl = "http://a"\ntoken = "token-a"\n'
        '[profiles.test]\nurl = "http://b"\ntoken = "token-b"'
    )
    for settings in (place.load(profile="test"), place.load({"SIMVUE_SERVER_PROFILE": "test"})):
        assert (settings.url, settings.token, settings.profile) == ("http://b", "token-b", "test")


def test_a_profile_named_in_code_beats_the_environment(place):
    """Else the token of the production server in a job script would go to the test server."""
    place.write('[profiles.test]\nurl = "http://b"\ntoken = "token-b"')
    environ = {"SIMVUE_URL": "http://a", "SIMVUE_TOKEN": "token-a"}
    settings = place.load(environ, profile="test")
    assert (settings.url, settings.token) == ("http://b", "token-b")
    settings = place.load({**environ, "SIMVUE_SERVER_PROFILE": "test"})
    assert (settings.url, settings.token) == ("http://a", "token-a")


def test_an_unknown_profile_names_those_that_exist(place):
    place.write('[profiles.test]\nurl = "http://b"')
    with pytest.raises(ConfigurationError, match=r"no profile 'tset' in .*simvue.toml.*test"):
        place.load(profile="tset")


def test_the_ini_file_of_the_first_generation_is_read_with_a_note(place):
    place.write(f"[server]\nurl = http://old\ntoken = {SECRET}", "simvue.ini")
    settings = place.load()
    assert (settings.url, settings.token) == ("http://old", SECRET)
    assert "old format" in settings.warnings[0]


def test_a_file_that_another_user_put_where_everybody_writes_is_ignored(place):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    file = place.write('[server]\nurl = "http://thief"')
    os.chown(file, 12345, 12345)
    assert place.load().url == "http://thief"
    place.project.chmod(0o1777)
    settings = place.load()
    assert settings.url is None
    assert "another user" in settings.warnings[0]


def test_a_relative_path_starts_from_the_file_that_holds_it(place):
    place.write('[offline]\ncache = "spool"\n[server.certificates]\nserver_ca_cert = "../ca.pem"')
    settings = place.load()
    assert settings.cache == place.project / "spool"
    assert settings.ca_file == place.project.parent / "ca.pem"
    assert place.load({"SIMVUE_OFFLINE_DIRECTORY": "/scratch/s"}).cache == Path("/scratch/s")


def test_inside_a_batch_job_the_shipper_does_not_linger_unless_told(place):
    assert place.load({"SLURM_JOB_ID": "7"}).linger == 0.0
    assert place.load({"SLURM_JOB_ID": "7", "SIMVUE_LINGER": "60"}).linger == 60.0


def test_a_deleted_working_directory_is_no_error(tmp_path):
    """A job's scratch directory may be swept while its processes still start."""
    code = (
        "import os, shutil, sys; os.makedirs(sys.argv[1]); os.chdir(sys.argv[1]);"
        "os.rmdir(sys.argv[1]); from simvue.config import load;"
        "print(load(environ={'HOME': '/nowhere'}).cache)"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "gone")],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "/nowhere/.simvue"


# ---- What a value may be ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://simvue.example.org", "https://simvue.example.org"),
        ("https://simvue.example.org/", "https://simvue.example.org"),
        ("https://simvue.example.org/api", "https://simvue.example.org"),
        ("https://simvue.example.org/api/", "https://simvue.example.org"),
        ("https://example.org/simvue/api", "https://example.org/simvue"),
        (" http://localhost:8000/ ", "http://localhost:8000"),
        ("http://[::1]:8000/api", "http://[::1]:8000"),
        ("http://host:80?x=1#y", "http://host:80"),
    ],
)
def test_the_address_is_the_servers_root_whichever_way_it_is_given(place, given, kept):
    assert place.load(url=given).url == kept


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://h:port"])
def test_an_address_that_cannot_work_says_where_it_came_from(place, url):
    with pytest.raises(ConfigurationError, match="SIMVUE_URL"):
        place.load({"SIMVUE_URL": url})


def test_a_password_in_the_address_is_left_out_and_said_without_repeating_it(place):
    settings = place.load(url="https://me:hunter2@host/api")
    assert settings.url == "https://host"
    assert "password" in settings.warnings[0]
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nurl = 3", r"\[server\] url"),
        ("[server]\ntoken = 3", r"\[server\] token"),
        ('server = "http://x"', r"\[server\]"),
        ('[server]\ncertificates = "x"', r"certificates"),
        ("[queue]\nbuffer_size = true", r"\[queue\] buffer_size"),
        ("[queue]\nbuffer_size = 1", "256 KiB"),
        ('[queue]\nbuffer_size = "many"', r"\[queue\] buffer_size"),
        ('[queue]\npolicy = "hope"', "'wait' or 'drop'"),
        ("[shipper]\nflush_interval = 0", "more than 0"),
        ('[shipper]\nlinger = "long"', r"\[shipper\] linger"),
        ("[shipper]\nlinger = nan", r"\[shipper\] linger"),
        ("[shipper]\nclose_timeout = -1", r"\[shipper\] close_timeout"),
        ('[run]\nname = "a*b"', r"\[run\] name"),
        ('[run]\nfolder = "relative"', "begin with '/'"),
        ('[run]\ntags = "one"', r"\[run\] tags"),
        ("[run.metadata]\ncustom = 1", r"\[run.metadata\] custom"),
        ("[profiles]\na = 1", r"\[profiles.a\]"),
        ("[server\n", "is not TOML.*line 1"),
    ],
)
def test_a_wrong_type_names_the_file_and_the_key(place, text, named):
    place.write(text)
    with pytest.raises(ConfigurationError, match=named) as caught:
        place.load()
    assert "simvue.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1048576", 1 << 20), ("1 MiB", 1 << 20), ("256KiB", 256 << 10), ("2 GiB", 2 << 30)],
)
def test_a_size_is_bytes_or_has_a_unit(place, text, size):
    assert place.load({"SIMVUE_BUFFER_SIZE": text}).buffer_size == size


def test_dates_in_metadata_become_texts_because_json_has_none(place):
    place.write("[run.metadata.custom]\nday = 2026-01-31\nnested = {at = [07:30:00]}\nbeta = 2.5")
    metadata = place.load().run.metadata
    assert metadata == {"day": "2026-01-31", "nested": {"at": ["07:30:00"]}, "beta": 2.5}


def test_an_unknown_key_is_a_note_that_names_the_nearest_known_one(place):
    file = place.write('[sever]\nurl = "http://x"\n[run]\nnmae = "x"\n[run.metadata.custom]\nq = 1')
    notes = place.load().notes
    assert f"{file} sets sever, which is not a setting; did you mean server?" in notes
    assert f"{file} sets run.nmae, which is not a setting; did you mean run.name?" in notes
    assert len(notes) == 2


def test_keys_of_the_official_client_are_no_typos(place):
    place.write("[eco]\ncpu_n_cores = 4\n[run.metadata]\ngit = false\n[client]\ndebug = true")
    assert place.load().notes == ()
    place.write('[run]\nmode = "offline"')
    assert "has no effect" in place.load().notes[0]


# ---- Tokens ---------------------------------------------------------------------------------


def test_an_expired_jwt_is_a_warning_and_an_opaque_token_never_expires(place):
    now = time.time()
    expired = place.load(token=jwt(exp=now - 60))
    assert expired.token_expired
    assert "expired" in expired.warnings[0]
    opaque = ("opaque", "a.b.c", jwt(), jwt(exp="soon"), jwt(exp=None), jwt(exp=now + 60))
    for token in opaque:
        assert not place.load(token=token).token_expired


def test_a_token_that_no_header_can_carry_is_refused_without_repeating_it(place):
    for token in (f"{SECRET}\nX-Evil: 1", f"{SECRET} {SECRET}", f"{SECRET}é"):
        with pytest.raises(ConfigurationError, match="SIMVUE_TOKEN") as caught:
            place.load({"SIMVUE_TOKEN": token})
        assert SECRET not in str(caught.value)
    assert place.load({"SIMVUE_TOKEN": f"{SECRET}\n"}).token == SECRET


def test_a_token_is_never_in_repr_or_warnings(place):
    place.write(f'[server]\ntoken = "{SECRET}"', mode=0o644)
    settings = place.load()
    assert settings.token == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in " ".join(settings.warnings)


def test_a_token_in_a_file_that_everybody_can_read_is_a_warning(place):
    file = place.write(f'[profiles.a]\ntoken = "{SECRET}"', mode=0o644)
    assert f"chmod 600 {file}" in place.load().warnings[0]
    file.chmod(0o640)
    assert place.load().warnings == ()


def test_require_server_says_what_is_missing_and_how_to_set_it(place):
    with pytest.raises(ConfigurationError, match="SIMVUE_URL"):
        place.load().require_server()
    with pytest.raises(ConfigurationError, match="SIMVUE_TOKEN"):
        place.load(url="http://x").require_server()
    assert place.load(url="http://x", token="t").require_server() == ("http://x", "t")
