"""The slot table: which slots hold which adapter, and which adapter is evicted first."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.cuda_graphs.slots import NUM_SLOTS, SlotTable
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import base_only_weights

NEEDS = (1, 1, 1, 2, 2, 3, 4, 8)  # of the adapters by number


def make_adapters():
    return [base_only_weights(HeadWeights.zeros("sum", 1)) for _ in NEEDS]


def assign(table, adapters, numbers):
    return table.assign([adapters[i] for i in numbers], [NEEDS[i] for i in numbers])


@given(st.lists(st.lists(st.integers(0, len(NEEDS) - 1), unique=True, min_size=1), max_size=30))
def test_each_slot_holds_the_adapter_assigned_last(batches):
    """In any order of batches, slots of a batch never overlap, and an adapter that is not new still has its slots."""
    table, adapters = SlotTable(NUM_SLOTS), make_adapters()
    written: dict[int, tuple[int, int]] = {}  # slot: (adapter, place among its slots)
    for numbers in batches:
        assigned = assign(table, adapters, numbers)
        assert (assigned is None) == (sum(NEEDS[i] for i in numbers) > NUM_SLOTS)
        if assigned is None:
            continue
        taken = [slot for each in assigned for slot in each.slots]
        assert len(taken) == len(set(taken)) == sum(NEEDS[i] for i in numbers)
        for number, each in zip(numbers, assigned, strict=True):
            own = {slot: (number, place) for place, slot in enumerate(each.slots)}
            if each.is_new:
                written.update(own)
            assert own.items() <= written.items()


def test_an_adapter_that_stays_is_not_written_again():
    """Batches of the same adapters, in any order, need no copy after the first."""
    table, adapters = SlotTable(NUM_SLOTS), make_adapters()
    assert [each.is_new for each in assign(table, adapters, [0, 3])] == [True, True]
    assert [each.is_new for each in assign(table, adapters, [3, 1, 0])] == [False, True, False]


def test_the_least_recently_used_adapter_is_evicted_first():
    """The slots of the adapter that was used longest ago are reassigned first."""
    table, adapters = SlotTable(NUM_SLOTS), make_adapters()
    for numbers in ([0, 1, 2], [6], [0, 2]):  # one slot is still empty; 1 is the least recently used
        assign(table, adapters, numbers)
    assign(table, adapters, [3])
    assert [each.is_new for each in assign(table, adapters, [0, 2, 6])] == [False, False, False]
    assert assign(table, adapters, [1])[0].is_new


def test_a_freed_adapter_leaves_its_slots():
    """The table keeps no adapter alive, and a new adapter is never taken for a freed one."""
    table, adapters = SlotTable(NUM_SLOTS), make_adapters()
    assign(table, adapters, [7])
    adapters[7] = None
    gc.collect()
    assert not table._slots
    adapters[7] = make_adapters()[7]
    assert assign(table, adapters, [7])[0].is_new


@pytest.mark.parametrize("numbers", [[7, 0], [3, 4, 5, 6]])
def test_a_batch_that_does_not_fit_changes_nothing(numbers):
    """Adapters that need too many slots get none, and those in the slots stay."""
    table, adapters = SlotTable(NUM_SLOTS), make_adapters()
    assign(table, adapters, [0, 1])
    assert assign(table, adapters, numbers) is None
    assert not any(each.is_new for each in assign(table, adapters, [0, 1]))
