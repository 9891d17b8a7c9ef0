"""The switches of the tape in functions that can be suspended: generators and coroutines."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager

import pytest

import minigrad as mg
from minigrad.autograd.modes import modes, watchers

SWITCHES = {
    "no_grad": (mg.no_grad, lambda: not modes.recording),
    "enable_grad": (mg.enable_grad, lambda: bool(modes.recording)),
    "detect_anomaly": (mg.detect_anomaly, lambda: bool(modes.anomaly)),
}


@pytest.fixture(params=SWITCHES)
def switch(request):
    """A switch, and a function that tells whether it holds; it does not at first."""

    def end():
        assert not SWITCHES[request.param][1]()
        before.close()
        assert modes.recording is True
        assert modes.anomaly is False
        assert not watchers

    before = ExitStack()
    if request.param == "enable_grad":
        before.enter_context(mg.no_grad())
    request.addfinalizer(end)  # noqa: PT021 (a generator would be suspended when the test runs)
    return SWITCHES[request.param]


def test_a_decorated_generator_function(switch):
    change, holds = switch

    @change()
    def told(sent):
        """Its docstring."""
        while sent is not None:
            sent = yield sent, holds()
        return "end"

    assert told.__doc__ == "Its docstring."
    generator = told(1)
    assert next(generator) == (1, True)
    assert not holds()
    assert generator.send(2) == (2, True)
    assert not holds()
    with pytest.raises(StopIteration, match="end"):
        generator.send(None)
    assert not holds()


def test_errors_go_into_a_decorated_generator_and_come_out(switch):
    change, holds = switch

    @change()
    def careful():
        try:
            yield 1
        except ZeroDivisionError:
            yield holds()
        raise KeyError("mine")

    generator = careful()
    next(generator)
    assert generator.throw(ZeroDivisionError) is True
    with pytest.raises(KeyError, match="mine"):
        next(generator)
    assert not holds()


def test_a_generator_suspended_within_it_leaves_its_caller_alone(switch):
    change, holds = switch

    def items():
        with change():
            yield holds()
            yield holds()

    generator = items()
    assert next(generator)
    assert not holds()
    assert next(generator)
    generator.close()
    assert not holds()


def test_a_generator_that_is_dropped_half_way(switch):
    change, holds = switch

    def items():
        with change():
            yield

    for _ in items():
        break
    assert not holds()


def test_interleaved_with_a_block_of_the_caller(switch):
    """The generator leaves its block within the caller's, and the other way round."""
    change, holds = switch

    def items():
        with change():
            yield
        yield

    generator = items()
    next(generator)
    with change():
        next(generator)
        assert holds()
    assert not holds()
    with change():
        generator = items()
        next(generator)
    assert not holds()
    next(generator)


def test_a_context_manager_hands_it_on_to_its_block(switch):
    change, holds = switch

    @contextmanager
    def block():
        with change():
            yield

    with block():
        assert holds()
    assert not holds()
    assert block()(holds)()
    with ExitStack() as stack:
        stack.enter_context(change())
        stack.enter_context(block())
        assert holds()


def test_coroutines_take_turns(switch):
    change, holds = switch

    @change()
    async def decorated():
        seen = []
        for _ in range(3):
            seen.append(holds())
            await asyncio.sleep(0)
        return seen

    async def with_a_block():
        with change():
            return await decorated.__wrapped__()

    async def plain():
        return await decorated.__wrapped__()

    @change()
    async def produced():
        for _ in range(3):
            yield holds()
            await asyncio.sleep(0)

    async def consumed():
        return [(inside, holds()) async for inside in produced()]

    async def together():
        return await asyncio.gather(decorated(), with_a_block(), plain(), consumed())

    first, second, third, fourth = asyncio.run(together())
    assert first == second == [True] * 3
    assert third == [False] * 3
    assert fourth == [(True, False)] * 3


def test_what_a_generator_makes_is_off_the_tape():
    x = mg.tensor(2.0, requires_grad=True)

    @mg.no_grad()
    def doubled():
        yield x * 2

    for y in doubled():
        assert not y.requires_grad
        assert (x * 2).requires_grad
