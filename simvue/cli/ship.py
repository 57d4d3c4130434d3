"""``simvue ship``: send what was recorded offline, or during an outage."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from simvue.config import load
from simvue.exception import ConfigurationError


@click.command()
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the data lies; by default SIMVUE_OFFLINE_DIRECTORY, [offline] cache, ~/.simvue.",
)
def command(cache: Path | None) -> None:
    """Send everything that lies in the spool directory, once.

    May run beside the simulation, beside its shipper, and several times at once: the server
    stores each row once.  Exits with 1 if the server is away or refuses, or if something
    was set aside or is damaged.
    """
    from simvue.courier import Courier, Delivery, End
    from simvue.remote import Remote

    try:
        config = load()
        url, token = config.require_server()
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    directory = (cache or config.cache) / "spool"
    remote = Remote(url, token, token_source=config.token_source, ca_file=config.ca_file)
    told: list[Delivery] = []

    def tell(delivery: Delivery) -> None:
        told.append(delivery)
        reason = f" ({delivery.reason})" if delivery.reason else ""
        aside = f", {delivery.rejected} records set aside" if delivery.rejected else ""
        click.echo(
            f"{delivery.path.name}: {delivery.runs} runs, {delivery.rows} rows sent, "
            f"{delivery.known} known before{aside}; {delivery.end.value}{reason}"
        )

    courier = Courier(directory, remote)
    arrived = courier.carry(tell)
    if not told:
        click.echo(f"nothing to send in {directory}")
    troubled = any(d.end is End.DAMAGED or d.rejected for d in told)
    if troubled:
        click.echo(f"what the server does not take lies in {courier.rejected.directory}", err=True)
    sys.exit(0 if arrived and not troubled else 1)
