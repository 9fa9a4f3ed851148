"""What producers do to the inputs.

Owns: repeats byte for byte, transactions of producers with aborted records and gaps, late and
disordered events, records that are too large or poison.
Does not own: the steady load (load.py).
Invariant: each has struck when the audit, or its silence, says of the very offsets that were
written what had to become of them.
"""

import time
import uuid
from typing import Any, Final

import confluent_kafka as ck

from chaos.faults.fault import Fault, Scene
from pipeline.clock import now_ms
from pipeline.dev.oracle.events import Coordinates
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.wire import plain_completion

RECORDS: Final = 40
OPEN_S: Final = 2.0
FLUSH_S: Final = 60.0
TOO_LARGE: Final = 1_100_000
JUST_RIGHT: Final = 900_000


class InputFault(Fault):
    """Something that a producer does; there is nothing to heal."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.run_id = f"{self.name}-{uuid.UUID(int=scene.rng.getrandbits(128)).hex[:8]}"
        self.refused: list[ck.KafkaError] = []

    def heal(self) -> None:
        """Nothing was broken."""

    def produce(
        self, producer: ck.Producer, user: str, value: bytes, into: list[Coordinates]
    ) -> None:
        """Produce a completion; its coordinates are appended to `into` once it is in the log."""

        def delivered(error: ck.KafkaError | None, message: Any) -> None:
            if error is None:
                into.append(("completions", message.partition(), message.offset()))
            else:
                self.refused.append(error)

        topic = self.scene.ledger.topic("completions")
        producer.produce(topic, value, user.encode(), on_delivery=delivered)

    def completions(self) -> list[tuple[str, bytes]]:
        """Users of this fault's own, each with one good completion."""
        end = now_ms() - 5 * MINUTE_MS
        users = [f"{self.run_id}-{n}" for n in range(RECORDS)]
        return [(user, plain_completion(user, f"c-{user}", end)) for user in users]

    def say(self, coordinates: list[Coordinates], verdict: str) -> bool:
        """Whether the audit says this of all these inputs, of which there are some."""
        return bool(coordinates) and all(
            self.scene.verdicts.get(one) == verdict for one in coordinates
        )


class ProducerDuplicates(InputFault):
    """A producer without idempotence writes the same bytes twice."""

    name = "producer_duplicates"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.first: list[Coordinates] = []
        self.second: list[Coordinates] = []

    def inject(self) -> None:
        producer = self.scene.ledger.new_producer()
        records = self.completions()
        for into in (self.first, self.second):
            for user, value in records:
                self.produce(producer, user, value, into)
            producer.flush(FLUSH_S)

    def fired(self) -> bool:
        return self.say(self.first, "accepted") and self.say(self.second, "exact")


class AbortedInputs(InputFault):
    """A producer's transactions, every other one aborted, and one left open for a while."""

    name = "aborted_inputs"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.aborted: list[Coordinates] = []
        self.committed: list[Coordinates] = []

    def inject(self) -> None:
        producer = self.scene.ledger.new_producer(**{"transactional.id": self.run_id})
        producer.init_transactions(FLUSH_S)
        records = self.completions()
        for n, start in enumerate(range(0, RECORDS, 10)):
            producer.begin_transaction()
            into = self.committed if n % 2 else self.aborted
            for user, value in records[start : start + 10]:
                self.produce(producer, user, value, into)
            producer.flush(FLUSH_S)
            if n % 2:
                producer.commit_transaction(FLUSH_S)
            else:
                time.sleep(OPEN_S)  # nobody may read past it meanwhile
                producer.abort_transaction(FLUSH_S)

    def fired(self) -> bool:
        silent = not any(coordinates in self.scene.verdicts for coordinates in self.aborted)
        return bool(self.aborted) and silent and self.say(self.committed, "accepted")


class LateAndDisordered(InputFault):
    """Ten days of users in any order, then what is too late and what is too early."""

    name = "late_and_disordered"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.good: list[Coordinates] = []
        self.bad: list[Coordinates] = []

    def inject(self) -> None:
        producer = self.scene.ledger.new_producer()
        now = now_ms() - 5 * MINUTE_MS
        for user, _ in self.completions():
            for day in self.scene.rng.sample(range(10), 10):
                value = plain_completion(user, f"{user} {day}", now - day * DAY_MS)
                self.produce(producer, user, value, self.good)
            for day in (-20, 60):
                value = plain_completion(user, f"{user} {day}", now - day * DAY_MS)
                self.produce(producer, user, value, self.bad)
        producer.flush(FLUSH_S)

    def fired(self) -> bool:
        return self.say(self.good, "accepted") and self.say(self.bad, "dead_letter")


class OversizeAndPoison(InputFault):
    """Records that the broker refuses, that just fit, and that nobody can read."""

    name = "oversize_and_poison"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.poison: list[Coordinates] = []

    def inject(self) -> None:
        producer = self.scene.ledger.new_producer()
        noise = self.scene.rng.randbytes(TOO_LARGE)
        self.produce(producer, self.run_id, noise, self.poison)
        producer.flush(FLUSH_S)
        for value in (
            b"\xff" + noise[:JUST_RIGHT],
            b'{"a":' * 100_000,
            b"{" + b" " * JUST_RIGHT + b"}",
            b"\x00\x00\x00\x00\x01" + noise[:JUST_RIGHT],
            b'{"completion_id": ' + b"9" * JUST_RIGHT,
        ):
            self.produce(producer, self.run_id, value, self.poison)
            producer.flush(FLUSH_S)

    def fired(self) -> bool:
        too_large = {ck.KafkaError.MSG_SIZE_TOO_LARGE, ck.KafkaError.RECORD_LIST_TOO_LARGE}
        was_refused = any(error.code() in too_large for error in self.refused)
        return was_refused and self.say(self.poison, "dead_letter")
