"""`offers`: where something could run, what it would cost, and why not elsewhere."""

import click

from app.cli.output import emit, note, say
from app.cli.params import PRICE, json_option
from app.domain.offers import GIB, Wanted, explain, match
from app.launch.offers import known_offers
from app.render.offers import mismatch_lines, offer_document, offer_table
from app.settings import find_home, load_settings


@click.command()
@click.option("--gpu", default="", help="The GPU by its name, or a part of it: `RTX 4090`, `A100`.")
@click.option("--gpus", type=click.IntRange(0, 64), help="How many GPUs. [1 with --gpu or --vram, else 0]")
@click.option("--vram", type=click.FloatRange(0.1, 100_000), help="GiB that must be free on each GPU.")
@click.option("--region", default="", help="Where: a region of the config.")
@click.option("--tier", default="", help="Which kind of capacity: a tier of the config.")
@click.option("--max-price", type=PRICE, help="The most that an hour of it may cost: 0.60.")
@click.option("--backend", default="", help="How it runs: process, docker.")
@click.option("--host", default="", help="Where it runs: a host, or `local`.")
@json_option
def offers(
    gpu: str,
    gpus: int | None,
    vram: float | None,
    region: str,
    tier: str,
    max_price: int | None,
    backend: str,
    host: str,
    as_json: bool,
) -> int:
    """List what this machine and every host could give, those that match first, in the order Smart would try them.

    GPUs are as the server saw them last; prices are for an hour. The exit status is 1 if nothing matches, and then it
    says what each constraint removes and the smallest change that would match.
    """
    home = find_home()
    count = int(bool(gpu or vram)) if gpus is None else gpus
    wanted = Wanted(gpu, count, int((vram or 0) * GIB), region, tier, max_price, backend, host)
    found = known_offers(home, load_settings(home))
    ranked = match(found, wanted)
    others = [offer for offer in found if offer not in ranked]
    if as_json:
        emit([offer_document(offer, wanted) for offer in (*ranked, *others)])
    else:
        say(*offer_table(ranked, others, wanted))
    if not ranked:
        note("", *mismatch_lines(explain(found, wanted)))
    return 0 if ranked else 1
