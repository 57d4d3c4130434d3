"""What a run uses of the machine: measured by the shipper, and sent like all other rows."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import pytest
from fix_node import Node, eventually
from fix_proxy import Proxy

CPU = "resources/cpu.usage.percentage"
MEMORY = "resources/cpu.usage.memory"
SUSTAINABILITY = {
    "sustainability.emissions.total",
    "sustainability.emissions.delta",
    "sustainability.energy_consumed.total",
    "sustainability.energy_consumed.delta",
}

MEASURED = {"SIMVUE_DISABLE_RESOURCES_METRICS": ""}
"""What a node of the tests has switched off."""

IDLE = """
run = Run()
run.config(system_metrics_interval=0.2)
run.init({name!r}, no_color=True)
print("ready", flush=True)
sys.stdin.readline()
run.close()
"""


def begin(node: Node, source: str, name: str) -> tuple[subprocess.Popen[str], str]:
    process = node.start(source, **MEASURED)
    assert process.stdout is not None
    while "ready" not in (line := process.stdout.readline()):
        assert line, "it ended before it was ready"
    return process, node.run_id(name)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate("\n", timeout=60)
    assert process.returncode == 0, output
    return output


def names(node: Node, run: str) -> set[str]:
    return set(node.client.get_metrics_names(run))


def test_the_cpu_and_memory_of_children_are_the_runs(node: Node) -> None:
    """What the samples add up to is what the kernel says of the child, whoever else is busy."""
    source = """
    import resource, subprocess
    code = "import os; x = bytearray(os.urandom(1 << 20)) * 200; print('up', flush=True)"
    code += "\\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    run = Run()
    run.config(system_metrics_interval=1)
    run.init("busy child", no_color=True)
    print("ready", flush=True)
    sys.stdin.readline()
    child.kill()
    child.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("used", used.ru_utime + used.ru_stime)
    run.close()
    """
    process, run = begin(node, source, "busy child")
    eventually(lambda: len(node.steps(run, CPU)) >= 4, "four samples")
    used_s = float(finish(process).split("used ")[1].split()[0])
    cpu, memory = node.client.get_series(run, CPU), node.client.get_series(run, MEMORY)
    # The first sample is of the second before it.
    gaps = [1.0, *(after - before for before, after in pairwise(cpu.time))]
    measured_s = sum(gap * value / 100 for gap, value in zip(gaps, cpu.values, strict=True))
    # The child counts before the first sample and after the last, and its parent a little.
    assert used_s / 4 < measured_s < used_s + 1
    assert 200 < max(memory.values) < 1000
    assert list(cpu.step) == list(range(len(cpu)))
    assert cpu.time[0] >= 0.9
    assert min(gaps) > 0.5
    assert names(node, run) == {CPU, MEMORY}


def test_nothing_is_measured_where_that_is_disabled_or_the_run_waits(node: Node) -> None:
    node.simulate(
        """
        measured, disabled, waiting = Run(), Run(), Run()
        measured.config(system_metrics_interval=0.1)
        disabled.config(disable_resources_metrics=True)
        waiting.config(system_metrics_interval=0.1)
        disabled.init("disabled", no_color=True)
        waiting.init("waiting", status="created", no_color=True)
        measured.init("measured", no_color=True)
        time.sleep(1)  # ten samples
        for run in (measured, disabled, waiting):
            run.close()
        """,
        **MEASURED,
    )
    eventually(lambda: names(node, node.run_id("measured")), "the samples of the one")
    assert names(node, node.run_id("disabled")) == set()
    assert names(node, node.run_id("waiting")) == set()


def test_the_interval_may_change_and_another_process_be_measured(node: Node) -> None:
    other = node.start("held = bytearray(os.urandom(1 << 20)) * 300; sys.stdin.readline()")
    source = f"""
    run = Run()
    run.init("changes its mind", no_color=True)
    run.config(system_metrics_interval=0.2)
    run.set_pid({other.pid})
    print("ready", flush=True)
    sys.stdin.readline()
    run.close()
    """
    process, run = begin(node, source, "changes its mind")

    def memory() -> float:
        return max(node.client.get_series(run, MEMORY).values) if node.steps(run, MEMORY) else 0

    eventually(lambda: memory() > 300, "the other's memory")
    eventually(lambda: len(node.steps(run, MEMORY)) >= 5, "samples at the new interval")
    finish(process)


def test_samples_taken_while_the_server_is_away_arrive_later(
    proxied: tuple[Node, Proxy],
) -> None:
    node, proxy = proxied
    process, run = begin(node, IDLE.format(name="outage"), "outage")
    eventually(lambda: node.steps(run, CPU), "the first samples")
    proxy.say(10**9, 503)
    seen = len(node.steps(run, CPU))
    eventually(lambda: list((node.cache / "spool").glob("*")), "samples on disk")
    proxy.behave()
    eventually(lambda: len(node.steps(run, CPU)) >= seen + 10, "later samples")
    finish(process)
    steps = node.steps(run, CPU)
    assert sorted(steps) == list(range(len(steps)))


def test_a_killed_shipper_is_followed_by_one_that_measures_on(node: Node) -> None:
    process, run = begin(node, IDLE.format(name="measured on"), "measured on")
    eventually(lambda: len(node.steps(run, CPU)) >= 3, "the first samples")
    node.kill_shipper()
    seen = len(node.steps(run, CPU))
    eventually(lambda: len(node.steps(run, CPU)) >= seen + 3, "samples of the next shipper")
    finish(process)
    # No step twice: both count by the clock of the run.
    steps = node.steps(run, CPU)
    assert len(set(steps)) == len(steps)


def test_energy_and_emissions_are_told_by_rated_power_and_intensity(node: Node) -> None:
    (node.directory / "simvue.toml").write_text(
        """
        [eco]
        cpu_thermal_design_power = 100
        cpu_n_cores = 1
        co2_intensity = 0.5
        """
    )
    source = """
    run = Run()
    run.config(system_metrics_interval=0.5, enable_emission_metrics=True)
    run.init("emits", no_color=True)
    while time.process_time() < 1:
        pass
    print("ready", flush=True)
    sys.stdin.readline()
    run.close()
    """
    process, run = begin(node, source, "emits")
    eventually(lambda: len(node.steps(run, CPU)) >= 4, "four samples")
    finish(process)
    assert names(node, run) == {CPU, MEMORY, *SUSTAINABILITY}
    energy = node.client.get_series(run, "sustainability.energy_consumed.total").values
    deltas = node.client.get_series(run, "sustainability.energy_consumed.delta").values
    emissions = node.client.get_series(run, "sustainability.emissions.total").values
    assert sum(deltas) == pytest.approx(energy[-1])
    assert list(emissions) == pytest.approx([0.5 * value for value in energy])
    # A core has 100 W, so a percent for a second is a joule.
    cpu = node.client.get_series(run, CPU)
    gaps = [after - before for before, after in pairwise(cpu.time)]
    joules = [gap * percent for gap, percent in zip(gaps, cpu.values[1:], strict=True)]
    assert [3.6e6 * delta for delta in deltas[1:]] == pytest.approx(joules)
    assert energy[-1] > 0


def test_samples_of_an_offline_run_are_shipped_with_it(node: Node) -> None:
    node.simulate(
        """
        run = Run("offline")
        run.config(system_metrics_interval=0.1)
        run.init("offline samples")
        time.sleep(1)  # ten samples
        run.close()
        """,
        **MEASURED,
    )
    node.command("ship")
    assert names(node, node.run_id("offline samples")) == {CPU, MEMORY}


def test_a_run_that_ranks_share_is_measured_in_each(node: Node) -> None:
    source = IDLE.replace("no_color=True", "no_color=True, shared='a job'").format(name="job")
    ranks = [node.start(source, **MEASURED, PMI_RANK=str(rank), PMI_SIZE="2") for rank in range(2)]
    for rank in ranks:
        assert rank.stdout is not None
        while "ready" not in (line := rank.stdout.readline()):
            assert line, "it ended before it was ready"
    run = node.run_id("job")

    def measured() -> set[int]:
        if CPU not in names(node, run):
            return set()
        return set(node.client.get_series(run, CPU).rank or ())

    eventually(lambda: measured() == {0, 1}, "samples of both")
    for rank in ranks:
        finish(rank)
