"""Names for runs that were not given one: two friendly words, ``brave-otter``.

Names need not be unique (the id is the key); 16,384 of them keep a page of runs readable.
"""

from __future__ import annotations

import os
from typing import Final

# 128 of each, so that seven bits of one random byte pick a word without a bias.
ADJECTIVES: Final = tuple(
    """
    able agile airy alert amber ample apt azure balmy bold bonny brave breezy brief bright brisk
    calm candid caring cheery chief civil clean clear clever cobalt cool coral cosy crisp cubic
    curious daring dapper deep deft direct eager early earnest easy elegant even fair famous fast
    fine firm fleet fluent fond frank free fresh gentle giant glad gleaming golden good grand green
    handy happy hardy hearty helpful honest humble ideal jolly jovial joyful keen kind large light
    lively loyal lucid lucky lunar mellow merry mighty mild misty modest neat nimble noble open
    orderly patient placid plucky polite prime proud quick quiet radiant rapid ready rosy
    round royal rustic serene sharp silver sincere smooth snowy solar solid spry stable steady
    stellar sturdy sunny swift teal tidy upbeat valiant vivid
    """.split()  # noqa: SIM905 - a paragraph reads better than 128 quoted words
)

NOUNS: Final = tuple(
    """
    acorn alder anchor apple arch ash aspen aurora badger bamboo basil bay beacon beech birch
    bison breeze bridge brook canyon cedar cello cherry cliff cloud clover comet cove crane creek
    dale dawn delta dolphin dove dune eagle ember falcon fern fiord finch fir fjord forest fox
    garden gecko geyser glacier glade grove gull harbor hare harp hawk hazel heron hill holly ibis
    iris island ivy jay juniper kestrel kite koala lagoon lake lark laurel lemon lily linden lotus
    lynx maple marten meadow mesa meteor mint moon moss oak oasis olive orbit orchid osprey otter
    owl panda pearl pebble pine planet plover pond poplar prairie puffin quail quartz rain raven
    reef ridge river robin rowan sage seal sky sparrow spruce star stream summit sunrise
    swan thistle tulip valley willow
    """.split()  # noqa: SIM905 - a paragraph reads better than 128 quoted words
)


def random_name() -> str:
    """Make a name like ``brave-otter`` from two bytes of the system's randomness.

    Not from a generator with a state: a fork, or a user's ``random.seed``, would repeat it.
    """
    first, second = os.urandom(2)
    return f"{ADJECTIVES[first & 127]}-{NOUNS[second & 127]}"
