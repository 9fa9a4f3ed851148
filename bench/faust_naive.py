"""Peer: the Faust app that a newcomer writes after Faust's own user guide.

Owns: one agent over one topic, a windowed table of seen ids and a table of streaks on RocksDB, two
output topics; at least once, which is Faust's default; all settings but where things are at their
defaults.
Does not own: tuning. Faust has no batches with tables to tune towards; what it has was left as it
comes.
Invariant: per accepted completion one progress record, and a portal where one is reached; the two
tables write their own changelogs.
"""

# mypy: disable-error-code="call-arg, misc, untyped-decorator"
# (Faust's classes are untyped from outside, and this file is written as its guide has it.)

import os
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import faust

WINDOW: Final = timedelta(days=14)
DAY_START_HOUR: Final = 3
CYCLE_DAYS: Final = 108
PORTALS: Final = {
    1: "threshold",
    3: "trine",
    7: "seed",
    13: "fruit",
    21: "lotus",
    30: "moon",
    40: "desert",
    51: "bridge",
    62: "mountain",
    73: "river",
    84: "ocean",
    96: "sky",
    108: "return",
}


class Completion(faust.Record, serializer="json"):
    """One practice session, as the client sends it."""

    completion_id: str
    user_id: str
    session_id: str
    practice: str
    started_at: str
    completed_at: str
    tz: str
    device_id: str
    app_version: str


class Streak(faust.Record, serializer="json"):
    """What is kept about a user."""

    revision: int = 0
    streak_days: int = 0
    longest_days: int = 0
    lifetime_days: int = 0
    last_local_date: int = 0


class Progress(faust.Record, serializer="json"):
    """What is told about a user after each accepted completion."""

    user_id: str
    revision: int
    streak_days: int
    longest_days: int
    lifetime_days: int
    last_local_date: int
    tz: str
    cause: str


class Portal(faust.Record, serializer="json"):
    """A milestone reached for the first time."""

    user_id: str
    lap: int
    portal: str
    streak_days: int
    reached_on: int
    cause: str


def local_date(completed_at: str, tz: str) -> int:
    """The practice's date in the user's zone, days since 0001-01-01."""
    local = datetime.fromisoformat(completed_at).astimezone(ZoneInfo(tz))
    return local.toordinal() if local.hour >= DAY_START_HOUR else local.toordinal() - 1


def build(environment: "os._Environ[str]") -> faust.App:
    """The app, with its places from the environment."""
    app = faust.App(
        environment["BENCH_GROUP"],
        broker=f"kafka://{environment['BENCH_BOOTSTRAP']}",
        store="rocksdb://",
        datadir=environment["BENCH_DATA_DIR"],
        topic_partitions=int(environment["BENCH_PARTITIONS"]),
        web_enabled=False,
    )
    prefix = environment["BENCH_OUTPUT_PREFIX"]
    completions = app.topic(environment["BENCH_INPUT"], key_type=str, value_type=Completion)
    progress = app.topic(f"{prefix}progress", key_type=str, value_type=Progress)
    portals = app.topic(f"{prefix}portals", key_type=str, value_type=Portal)
    seen = app.Table("seen", default=bool).tumbling(WINDOW, expires=WINDOW)
    streaks = app.Table("streaks", default=Streak, value_type=Streak)

    @app.agent(completions)
    async def track(stream: faust.StreamT[Completion]) -> None:
        async for completion in stream:
            window = seen[completion.completion_id]
            if window.current():
                continue
            seen[completion.completion_id] = True
            user = streaks[completion.user_id]
            user.revision += 1
            date = local_date(completion.completed_at, completion.tz)
            if date > user.last_local_date:
                user.streak_days = user.streak_days + 1 if date == user.last_local_date + 1 else 1
                user.last_local_date = date
                user.lifetime_days += 1
                if user.streak_days > user.longest_days:
                    user.longest_days = user.streak_days
                    lap, day = divmod(user.streak_days - 1, CYCLE_DAYS)
                    if day + 1 in PORTALS:
                        await portals.send(
                            key=completion.user_id,
                            value=Portal(
                                user_id=completion.user_id,
                                lap=lap,
                                portal=PORTALS[day + 1],
                                streak_days=user.streak_days,
                                reached_on=date,
                                cause=completion.completion_id,
                            ),
                        )
            streaks[completion.user_id] = user
            await progress.send(
                key=completion.user_id,
                value=Progress(
                    user_id=completion.user_id,
                    revision=user.revision,
                    streak_days=user.streak_days,
                    longest_days=user.longest_days,
                    lifetime_days=user.lifetime_days,
                    last_local_date=user.last_local_date,
                    tz=completion.tz,
                    cause=completion.completion_id,
                ),
            )

    return app


if __name__ == "__main__":
    build(os.environ).main()
