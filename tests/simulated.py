"""Running a test's body in the simulated world.

Owns: the one task of a test. Does not own: brokers, engines and what has to hold (the tests).
"""

from collections.abc import Callable

from simulator.world import World


def run_task(world: World, act: Callable[[], object], within_s: float) -> None:
    """Run a task to its end, within so many seconds of simulated time; raises what it raises."""
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 — raised again below, outside of the task
            ended.append(error)
        else:
            ended.append(None)

    world.spawn(run)
    assert world.run(lambda: bool(ended), world.now + within_s)
    if ended[0] is not None:
        raise ended[0]
