"""What a reader of the documentation is told must be so."""

import re
from pathlib import Path

import pytest

from simvue import config
from simvue.config import settings

ROOT = Path(__file__).parents[2]
SETTINGS_PAGE = ROOT / "docs" / "reference" / "settings.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
VARIABLE = re.compile(r"\bSIMVUE_[A-Z_]+\b")


def documented() -> dict[str, list[str]]:
    """Field -> the other cells of its row: key, variable, default, meaning."""
    rows = {}
    for line in SETTINGS_PAGE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 5 and not cells[0].startswith(("Field", "---")):
            assert cells[0] not in rows, f"{cells[0]} has two rows"
            rows[cells[0]] = cells[1:]
    return rows


def test_every_setting_has_one_row_that_says_where_it_is_found():
    rows = documented()
    assert list(rows) == [setting.field for setting in settings.SETTINGS]
    for setting in settings.SETTINGS:
        key, variable, _, meaning = rows[setting.field]
        assert key == setting.key
        assert variable == (setting.variable or "")
        assert meaning


def test_every_default_is_the_one_the_page_says(tmp_path):
    defaults = config.load(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    for setting in settings.SETTINGS:
        told = documented()[setting.field][2]
        value = defaults
        for name in setting.field.split("."):
            value = getattr(value, name)
        if told == "none":
            assert not value, setting.field
        else:
            text = told.replace("~", str(tmp_path), 1)
            assert setting.read(text, tmp_path) == value, setting.field


def test_every_field_of_the_settings_is_on_the_page():
    page = SETTINGS_PAGE.read_text()
    fields = list(config.Config._fields)
    fields += [f"run.{name}" for name in config.RunDefaults._fields]
    fields.remove("run")
    assert [field for field in fields if f"`{field}`" not in page] == []


def test_every_key_that_changes_nothing_is_on_the_page():
    page = SETTINGS_PAGE.read_text()
    assert [key for key in sorted(settings.WITHOUT_EFFECT) if f"`{key}`" not in page] == []


def test_every_variable_that_the_package_names_is_on_the_page_and_no_other():
    named = set()
    for path in [*(ROOT / "simvue").rglob("*.py"), *(ROOT / "simvue").rglob("*.pyx")]:
        named |= set(VARIABLE.findall(path.read_text()))
    assert named == set(VARIABLE.findall(SETTINGS_PAGE.read_text()))


def test_every_guarantee_names_tests_that_exist():
    page = (ROOT / "docs" / "guarantees.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    headings = [row for row in rows if "eld by" in row]
    for row in set(rows) - set(headings):
        assert re.search(r"`test_\w+`", row), f"a promise without a test: {row}"
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", tests, flags=re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named - defined == set()
    assert re.findall(r"^\| (S\d+) ", page, flags=re.MULTILINE) == [f"S{n}" for n in range(1, 19)]


def test_every_difference_to_the_official_package_names_tests_that_exist():
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (ROOT / "docs" / "compatibility.md").read_text().splitlines()
        if line.startswith("| ")
    ]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"^ *def (test_\w+)\(", tests, flags=re.MULTILINE))
    for *told, held in rows:
        if held == "Held by":
            continue
        assert all(told), f"a difference without a reason: {told}"
        named = set(re.findall(r"`(test_\w+)`", held))
        assert named, f"a row without a test: {told}"
        assert named - defined == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_documentation_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(place), f"{page.name} links to {target}: no such heading"


def anchors(page: Path) -> set[str]:
    """The names under which GitHub links to a page's headings."""
    headings = re.findall(r"^#+\s+(.*)$", page.read_text(), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }
