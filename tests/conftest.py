"""What all tests have in common."""

import asyncio


def pytest_configure() -> None:
    """Say that there is no event loop yet, before anybody asks.

    Else Python makes one for pytest-asyncio, which puts it aside and never closes it: some later
    test fails for that, whenever memory is tidied.
    """
    asyncio.set_event_loop(None)
