"""The official client, unchanged and from the package index, works with our server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fix_official import Official
from fix_server import Server

SCRIPT = Path(__file__).with_name("every_part.py")
# Half a minute on an idle machine; making the environment comes on top the first time.
STORY_S_MAX = 200


@pytest.mark.timeout(900)
def test_every_part_of_the_official_client_works(
    official: Official, fresh_server: Server, tmp_path: Path
) -> None:
    """Eleven parts, from a run's life to the sender of offline runs; each asserts what it sees."""
    home = tmp_path / "home"
    home.mkdir()
    said = official.run(fresh_server, home, str(SCRIPT), limit=STORY_S_MAX)
    story = json.loads(said.splitlines()[-1])
    assert len(story["passed"]) == 11
    # What it left behind is what it said it deleted.
    assert fresh_server.ask("GET", f"/runs/{story['run']}").status_code == 404
    assert "Traceback" not in fresh_server.log_text(), fresh_server.log_text()
