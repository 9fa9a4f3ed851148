"""The parts of the read API's benchmark: its people, and its load."""

import asyncio
from pathlib import Path

from bench.api.data import DIFFERENT, People, user_of
from bench.api.load import ask, at_random, request_of
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schemas
from pipeline.core.reading import covered_by

ROOT = Path(__file__).parents[2]
NOON = 20_780 * 86_400_000 + 43_200_000


def test_people_are_what_a_worker_could_have_published() -> None:
    people = People(ROOT / "policy.yaml", NOON)
    encode = AvroEncoder(load_schemas(ROOT / "schemas")["ProgressUpdated"], 1).encode
    records = list(people.records(DIFFERENT + 2))
    assert len({record.user_id for record in records}) == DIFFERENT + 2
    assert records[DIFFERENT].dates == records[0].dates
    going_on = 0
    for record in records[:200]:
        assert encode(record)
        covered = covered_by(record.dates)
        assert record.lifetime_days == sum(length for _, length in covered)
        assert len(record.portals) >= 1
        assert record.field_keys_pending == len(record.keys.granted)
        going_on += record.streak_days > 0
    assert 30 < going_on < 120


def test_the_load_counts_every_answer_once_however_it_is_cut() -> None:
    """A server that answers in pieces, and one request in ten with another status."""
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            answered += 1
            status = b"404 Not Found" if answered % 10 == 0 else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 5\r")
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"\n\r\nhel")
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(b"lo")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()[:2]
        requests = [request_of(address, f"/{user_of(n)}", "token") for n in range(100)]
        counted = await ask(address, iter(requests), 7, 30)
        assert (len(counted.delays_s), counted.wrong, answered) == (100, 10, 100)
        assert counted.per_s > 0
        assert 0 < counted.quantile_ms(0.5) <= counted.quantile_ms(0.99)
        endless = await ask(address, at_random(requests, 1), 3, 0.05)
        assert endless.seconds >= 0.05
        server.close()

    asyncio.run(run())
