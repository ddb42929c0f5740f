"""Arenas: the packer against every packing there is, on small cases, and against what is live on large ones."""

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from costmodel.arena import fits, plan

CROWDED = [3, 1, 1, 2, 2, 1, 2, 2, 2], [*range(9)], [2, 6, 5, 4, 7, 6, 9, 9, 9]
"""Never more than 6 live at once, and no offsets within 6: sizes, births and last uses."""


def packs(sizes, born, dies, room):
    """Brute force: every offset of every block, one block after the other."""

    def placed(offsets):
        block = len(offsets)
        if block == len(sizes):
            return True
        others = [n for n in range(block) if born[n] <= dies[block] and born[block] <= dies[n]]
        return any(
            all(offset + sizes[block] <= offsets[n] or offsets[n] + sizes[n] <= offset for n in others)
            and placed([*offsets, offset])
            for offset in range(room - sizes[block] + 1)
        )

    return placed([])


def live(sizes, born, dies):
    return max((sum(s for s, b, d in zip(sizes, born, dies, strict=True) if b <= t <= d) for t in {*born}), default=0)


@given(blocks=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 4)), max_size=6))
@settings(max_examples=100, deadline=None)
@example(list(zip(CROWDED[0], CROWDED[1], [d - b for b, d in zip(*CROWDED[1:], strict=True)], strict=True)))
def test_an_arena_is_as_small_as_any(blocks):
    sizes, born, ages = zip(*blocks, strict=True) if blocks else ((), (), ())
    dies = [start + age for start, age in zip(born, ages, strict=True)]
    least = next(room for room in itertools.count(live(sizes, born, dies)) if packs(sizes, born, dies, room))
    assert plan(sizes, born, dies, alignment=1, enough=least).size == least
    assert fits(sizes, born, dies, least) is True
    assert least == 0 or fits(sizes, born, dies, least - 1) is False


def test_what_is_live_at_once_may_find_no_addresses():
    assert live(*CROWDED) == 6
    assert not packs(*CROWDED, 6)
    assert fits(*CROWDED, 6) is False
    assert plan(*CROWDED, alignment=1, enough=6).size == 7
    assert fits(*CROWDED, 6, steps=10) is None
