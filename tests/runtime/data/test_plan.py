"""The order of rows, against sets and lists of plain integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.data.plan import Plan, Position, Settings, count, merge, merge_positions, split
from tzx.runtime.errors import UserError


def listed(intervals: np.ndarray) -> list[int]:
    return [row for start, stop in intervals.tolist() for row in range(start, stop)]


def order_of(plan: Plan, consumed: int = 0) -> list[int]:
    left = listed(plan.pieces(consumed))
    if not plan.is_shuffled:
        return left
    rows: list[int] = []
    for block in plan.blocks(consumed):
        piece, left = np.array(left[: block.num_rows], np.int64), left[block.num_rows :]
        rows += piece[block.permutation][block.skip :].tolist()
    assert left == []
    return rows


@st.composite
def intervals(draw: st.DrawFn) -> np.ndarray:
    edges = sorted(draw(st.sets(st.integers(0, 200), max_size=20)))
    return np.array(list(zip(edges[::2], edges[1::2], strict=False)), np.int64).reshape(-1, 2)


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    units = draw(st.lists(st.integers(0, 40), max_size=8))
    boundaries = np.unique(np.concatenate([[0], np.cumsum(units)])).astype(np.int64)
    return int(boundaries[-1]), boundaries


@given(intervals(), st.integers(1, 7))
def test_slices_cover_everything_once_and_evenly(left: np.ndarray, parts: int) -> None:
    slices = [split(left, parts, part) for part in range(parts)]
    assert [row for s in slices for row in listed(s)] == listed(left)
    sizes = [count(s) for s in slices]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@given(intervals(), st.randoms())
def test_merge_sorts_and_joins(left: np.ndarray, random: object) -> None:
    cut = [(row, row + 1) for row in listed(left)]
    random.shuffle(cut)  # type: ignore[attr-defined]
    assert merge(np.array(cut, np.int64).reshape(-1, 2)).tolist() == merge(left).tolist()


@given(data_sets(), st.integers(0, 15), st.integers(0, 3), st.data())
def test_an_order_holds_every_row_once_and_resumes_anywhere(
    data: tuple[int, np.ndarray], block_rows: int, rank: int, draw: st.DataObject
) -> None:
    rows, boundaries = data
    setting = Settings(4, block_rows, 7, 1)
    mine = split(np.array([[0, rows]]), 4, rank)
    plan = Plan(mine, setting, (0, rank), boundaries)
    whole = order_of(plan)
    assert sorted(whole) == listed(mine)
    if not block_rows:
        assert whole == listed(mine)
    consumed = draw.draw(st.integers(0, len(whole)))
    assert order_of(plan, consumed) == whole[consumed:]
    assert listed(plan.remaining(consumed)) == sorted(whole[consumed:])


@given(data_sets(), st.integers(0, 15), st.data())
@settings(max_examples=60)
def test_rows_are_seen_once_across_changes_of_world_size(
    data: tuple[int, np.ndarray], block_rows: int, draw: st.DataObject
) -> None:
    rows, boundaries = data
    seen: list[int] = []
    state: dict[str, int] = {}
    for world in [*draw.draw(st.lists(st.integers(1, 4), max_size=3)), 2]:
        states = []
        last = world == 2 and draw.draw(st.booleans())
        for rank in range(world):
            setting = Settings(world, block_rows, 3, 0)
            position = Position.parse(state, rows).advance(setting)
            plan, consumed = position.plan(rank, boundaries)
            order = order_of(plan, consumed)
            taken = len(order) if last else draw.draw(st.integers(0, len(order)))
            seen += order[:taken]
            states.append(position.state(rank, consumed + taken) if taken else state)
        state = merge_positions(states)
    position = Position.parse(state, rows).advance(Settings(1, 0, 0, 0))
    plan, consumed = position.plan(0, boundaries)
    assert sorted(seen + order_of(plan, consumed)) == list(range(rows))


def test_shuffling_depends_on_seed_and_epoch_and_moves_row_groups() -> None:
    boundaries = np.arange(0, 1001, 100)
    mine = np.array([[0, 1000]])

    def order(seed: int, epoch: int) -> list[int]:
        return order_of(Plan(mine, Settings(1, 50, seed, epoch), (0, 0), boundaries))

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(s, e)) for s in (1, 2) for e in (0, 1)}) == 4
    groups = [row // 100 for row in order(1, 0)]
    assert groups[:100] != [0] * 100  # row groups come in another order ...
    assert len(set(groups[:50])) == 1  # ... but are read one after another


def test_the_same_settings_go_on_in_the_same_generation() -> None:
    setting = Settings(2, 8, 1, 0)
    first = Position.parse({}, 100).advance(setting)
    state = merge_positions([first.state(0, 16), first.state(1, 16), None])
    again = Position.parse(state, 100).advance(setting)
    assert len(again.generations) == 1
    assert again.plan(1, np.array([0, 100]))[1] == 16
    assert len(Position.parse(state, 100).advance(Settings(3, 8, 1, 0)).generations) == 2


def test_a_rank_that_still_holds_an_old_position_does_not_set_others_back() -> None:
    setting = Settings(2, 0, 0, 0)
    start = merge_positions([Position.parse({}, 20).advance(setting).state(r, 4) for r in (0, 1)])
    after = Position.parse(start, 20).advance(setting).state(0, 8)
    assert merge_positions([after, start])["0.rank.0"] == 8


def test_a_position_of_another_data_set_is_refused() -> None:
    state = Position.parse({}, 20).advance(Settings(1, 0, 0, 0)).state(0, 5)
    with pytest.raises(UserError, match="20 rows, but this one has 21"):
        Position.parse(state, 21)
