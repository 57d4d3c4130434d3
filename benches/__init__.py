"""What all this costs, measured: ``make bench`` prints one table.

::

    loops.py          the loops that are timed, and how: short slices in turn, minimums
    node.py           a server and a runtime directory of a bench's own; child processes
    producer.py       a simulation, as a child process
    processes.py      what Linux says about a process
    bench_log         log_metrics in a loop, as ratios     bench_import   what starting costs
    bench_latency     one call, percentiles                bench_ingest   the store alone
    bench_path        a million rows, logged to readable   bench_ship     8 ranks at 1 kHz
    compare.py        one installed build against another
    peers/            by hand: the official client beside ours

Every bench has ``measure(...) -> dict`` and asserts its answer: fast by losing rows is a
failure.  docs/design/benches.md says what is measured how, and what is not.
"""
