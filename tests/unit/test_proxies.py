"""Which proxy a request passes, and that its password is shown to nobody else."""

import pytest

from simvue.config import Config, Proxy, load
from simvue.exception import ConfigurationError
from simvue.proxies import address_for, authorisation_for, proxies_for

PROXY = Proxy("http://proxy.site:3128", "me:a@b/c%20", ("inside.site", ".cloud"))
DIRECTLY = {"http": "", "https": ""}


def made(tmp_path, **env: str) -> Config:
    return load(environ={"HOME": str(tmp_path), **env}, cwd=tmp_path)


def test_the_password_is_escaped_in_the_address_and_only_there():
    address = "http://me:a%40b%2Fc%2520@proxy.site:3128"
    assert proxies_for(PROXY, "https://simvue.org") == {"http": address, "https": address}
    assert address_for(PROXY, "https://simvue.org") == "http://proxy.site:3128"
    assert authorisation_for(PROXY, "https://simvue.org") == "Basic bWU6YUBiL2MlMjA="


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:7468", "http://localhost", "http://[::1]:80",
        "https://inside.site/x", "https://a.inside.site", "https://s3.cloud",
    ],
)  # fmt: skip
def test_this_machine_and_the_exceptions_are_reached_without(url):
    assert proxies_for(PROXY, url) == DIRECTLY
    assert address_for(PROXY, url) is None


@pytest.mark.parametrize("url", ["https://notinside.site", "https://cloud.org"])
def test_a_name_that_only_looks_like_an_exception_is_none(url):
    assert address_for(PROXY, url) == "http://proxy.site:3128"


def test_none_beats_the_environment(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:secret@other:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert proxies_for(Proxy("none"), "https://simvue.org") == DIRECTLY
    assert address_for(Proxy("none"), "https://simvue.org") is None
    # Without a setting requests asks the environment itself; for messages we do.
    assert proxies_for(Proxy(), "https://simvue.org") is None
    assert address_for(Proxy(), "https://simvue.org") == "http://other:1"


def test_credentials_in_the_address_are_taken_out_of_it(tmp_path):
    config = made(tmp_path, SIMVUE_PROXY="http://me:a%40b@proxy.site:3128/")
    assert tuple(config.proxy) == ("http://proxy.site:3128", "me:a@b", ())
    config = made(tmp_path, SIMVUE_PROXY="me:x@proxy.site:3128", SIMVUE_PROXY_AUTH="you:y")
    assert tuple(config.proxy) == ("http://proxy.site:3128", "you:y", ())
    assert "you:y" not in repr(config)
    assert not config.notes


def test_the_settings_stand_with_the_server_they_are_for(tmp_path):
    file = tmp_path / "simvue.toml"
    file.write_text(
        '[server]\nproxy = "proxy.site:3128"\nproxy_auth = "me:s"\nno_proxy = ["A.site", "b"]\n'
        '[profiles.home]\nurl = "https://home"\nproxy = "none"\n'
    )
    file.chmod(0o604)
    config = made(tmp_path)
    assert tuple(config.proxy) == ("http://proxy.site:3128", "me:s", ("a.site", "b"))
    assert config.exposed == file
    at_home = load(profile="home", environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert at_home.proxy == Proxy("none")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIMVUE_PROXY", "ftp://me:s3cret@proxy"),
        ("SIMVUE_PROXY", "http://me:s3cret@proxy:port"),
        ("SIMVUE_PROXY", "http://me:s3cret@proxy/path"),
        ("SIMVUE_PROXY_AUTH", "s3cret"),
        ("SIMVUE_PROXY_AUTH", "me:s3cret\r\nX: y"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_without_its_secret(tmp_path, variable, value):
    with pytest.raises(ConfigurationError, match=variable) as caught:
        made(tmp_path, **{variable: value})
    assert "s3cret" not in str(caught.value)
