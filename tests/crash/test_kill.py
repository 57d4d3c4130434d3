"""A row whose ``log_metrics`` returned reaches the server once, whatever dies."""

from __future__ import annotations

import os
import signal

from fix_kill import Killer
from fix_node import eventually


def test_killing_the_simulation_loses_no_returned_row(killer: Killer) -> None:
    """S6: ``kill -9`` at full speed; the official client loses 81 to 95 % in such a loop."""
    for _ in killer.tries("simulation"):
        victim = killer.start()
        killer.wait_for_rows(victim)
        killer.note(victim)
        victim.process.kill()
        victim.process.communicate()
        returned = victim.returned
        eventually(lambda v=victim, n=returned: killer.stored(v) >= n, "what was returned")
        killer.check(victim)
    assert killer.toll.lost == killer.toll.doubled == 0


def test_killing_the_shipper_stores_every_row_once(killer: Killer) -> None:
    """The next shipper begins where the words in the segments stand."""
    for _ in killer.tries("shipper"):
        victim = killer.start(rows=1_500_000)
        for _ in range(5):
            killer.wait_for_rows(victim)
            killer.note(victim)
            before = set(killer.node.shippers())
            killer.node.kill_shipper()
            eventually(
                lambda b=before, v=victim: (
                    set(killer.node.shippers()) - b or v.process.poll() is not None
                ),
                "another shipper",
            )
        output, _ = victim.process.communicate(timeout=90)
        assert "closed True 0" in output, output
        killer.check(victim)
        assert killer.node.status(victim.run) == "completed"
    assert killer.toll.lost == killer.toll.doubled == 0


def test_killing_both_leaves_all_to_the_next_shipper(killer: Killer) -> None:
    for _ in killer.tries("both"):
        victim = killer.start()
        killer.wait_for_rows(victim)
        killer.note(victim)
        # In either order: the simulation may log on for a moment, or its shipper ship.
        first_the_shipper = killer.rng.random() < 0.5
        if first_the_shipper:
            killer.node.kill_shipper()
        victim.process.kill()
        killer.node.kill_shipper()
        victim.process.communicate()
        killer.node.simulate("run = Run(); run.init('the next one'); run.close()")
        returned = victim.returned
        eventually(lambda v=victim, n=returned: killer.stored(v) >= n, "what was returned")
        killer.check(victim)
    assert killer.toll.lost == killer.toll.doubled == 0


def test_killing_the_server_loses_nothing_acknowledged_or_not(fresh_killer: Killer) -> None:
    """Mid-request and mid-commit, by chance; what was acknowledged is there after the restart."""
    killer = fresh_killer
    server = killer.node.server
    for _ in killer.tries("server"):
        victim = killer.start(rows=2_000_000)
        for _ in range(5):
            killer.wait_for_rows(victim)
            acknowledged = killer.stored(victim)
            killer.note(victim)
            server.kill()
            server.restart()
            assert killer.stored(victim) >= acknowledged
        output, _ = victim.process.communicate(timeout=90)
        assert "closed True" in output, output
        eventually(lambda v=victim: killer.stored(v) >= v.returned, "what was returned")
        killer.check(victim)
    assert killer.toll.lost == killer.toll.doubled == 0


def test_terminating_the_shipper_puts_what_is_owed_on_disk_within_5_s(killer: Killer) -> None:
    """As a scheduler does it, with the server away."""
    victim = killer.start()
    killer.wait_for_rows(victim)
    server = killer.node.server.process.pid
    os.kill(server, signal.SIGSTOP)
    try:
        victim.process.kill()
        victim.process.communicate()
        # A second one may have been started while the first was slow to: it finds the office taken.
        eventually(lambda: len(killer.node.shippers()) == 1, "one shipper")
        (shipper,) = killer.node.shippers()
        os.kill(shipper, signal.SIGTERM)
        eventually(lambda: not killer.node.shippers(), "its end")
        assert not list(killer.node.runtime.glob("*.seg"))
    finally:
        os.kill(server, signal.SIGCONT)
    killer.node.command("ship")
    killer.check(victim)
