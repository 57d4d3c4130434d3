from simvue import wire
from simvue.names import ADJECTIVES, NOUNS, random_name


def test_lists_hold_128_different_words_each():
    """Seven bits pick a word: only with exactly 128 is each equally likely."""
    assert len(ADJECTIVES) == len(set(ADJECTIVES)) == 128
    assert len(NOUNS) == len(set(NOUNS)) == 128
    assert not set(ADJECTIVES) & set(NOUNS)
    assert all(word.isascii() and word.isalpha() and word.islower() for word in ADJECTIVES + NOUNS)


def test_random_name_is_two_words_that_the_wire_accepts():
    for _ in range(1000):
        name = random_name()
        assert wire.NAME_PATTERN.fullmatch(name)
        adjective, noun = name.split("-")
        assert adjective in ADJECTIVES
        assert noun in NOUNS


def test_random_name_does_not_follow_the_users_seed():
    """A parameter scan that seeds every task alike must not call every run the same.

    Five names agree by chance once in 2**70 runs of this test.
    """
    import random

    random.seed(7)
    first = [random_name() for _ in range(5)]
    random.seed(7)
    assert [random_name() for _ in range(5)] != first
