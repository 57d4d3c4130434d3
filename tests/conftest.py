"""What every test shares: fixtures from ``fix_*.py``, marks, the seed, logs in failures."""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))
# Before any of them is imported: some import each other.
pytest.register_assert_rewrite(*pytest_plugins)

SEED = int(os.environ.get("SIMVUE_TEST_SEED") or random.randrange(2**32))


def pytest_report_header() -> str:
    return f"seed: SIMVUE_TEST_SEED={SEED}"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that the printed seed brings back, whichever tests run beside."""
    return random.Random(f"{SEED} {request.node.nodeid}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"server", "fresh_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the log of whatever programs a failed test ran."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if hasattr(value, "log_text"):
                report.sections.append((f"log of {name}", value.log_text()))
    return report


@pytest.fixture(autouse=True, scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings and the home of whoever runs the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("SIMVUE_") and name != "SIMVUE_TEST_SEED":
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for name in ("XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
            patch.delenv(name, raising=False)
        yield
