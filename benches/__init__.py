"""What this costs, measured: ``make bench`` prints one table, ``python -m benches --quick`` a rough one.

::

    loops.py          the loops that are timed, and how: short slices in turn, minimums
    node.py           a server and a runtime directory of a bench's own; child processes
    producer.py       a simulation, as a child process
    bench_log         ns a call of log_metrics, as ratios      bench_import   what starting costs
    bench_latency     one call, percentiles                    bench_ingest   the server's store alone
    bench_path        a million rows, logged to readable       bench_ship     8 ranks at 1 kHz
    compare.py        one installed build against another
    peers/            by hand: the official client beside ours

Every bench has ``measure(...) -> dict`` and asserts its answer: fast by losing rows is a
failure.  docs/design/benches.md says what is measured how, and what is not.
"""
