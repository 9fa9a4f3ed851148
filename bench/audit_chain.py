"""How fast a chain of the audit is followed, and what its links cost the worker.

Owns: a long chain made in memory by the worker's encoder, and the times.
Does not own: following (pipeline/ops/audit/), a worker's other stages (fold_profile.py).
Invariant: each figure is of a chain that was found to be whole, down to its last hash.

Run it with `python -m bench.audit_chain`. Times are the process's processor time, so they are for
one core, and a busy machine disturbs little.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.errors import WrongResultError
from pipeline.codec.avro import AvroEncoder
from pipeline.core.audit import AuditIds, ChainHead, genesis, link
from pipeline.core.records import AuditEntry, Cause
from pipeline.dev.memory_engine import GENERATION, checked_in_schemas
from pipeline.ops.audit.export_files import pack, read_records
from pipeline.ops.audit.follow import Follower, Record

SCHEMA_ID = 1
SAMPLE = AuditEntry(
    audit_id="",
    generation=GENERATION,
    partition=0,
    sequence=0,
    user_id="user-0000001",
    action="completion",
    actor="user",
    reason=None,
    ticket=None,
    verdict="accepted",
    local_date=20_513,
    unlock_ids=(),
    digest_before="0123456789abcdef",
    digest_after="fedcba9876543210",
    revision=17,
    policy_version="2026-06",
    tzdata_version="2026.1",
    append_time=1_772_345_400_000,
    cause=Cause("awaway.completions", 0, 0, "8f0c5a9e-2f4b-5d57-9a0e-6b1d4c7e3a21"),
    rejection=None,
    tz="Europe/Berlin",
    tz_assumed=False,
    revoked_by=(),
    prev_hash=bytes(32),
    hash=b"",
)


def entries_of(count: int) -> list[AuditEntry]:
    """Entries as a worker makes them, not linked yet."""
    ids = AuditIds(GENERATION, 0)
    causes = [msgspec.structs.replace(SAMPLE.cause, offset=n) for n in range(count)]
    return [
        msgspec.structs.replace(SAMPLE, audit_id=ids.of(n), sequence=n, cause=cause)
        for n, cause in enumerate(causes)
    ]


def linked(entries: Iterable[AuditEntry], encoder: AvroEncoder) -> list[bytes]:
    """The framed values of a chain; as `Outputs.audit` makes them."""
    values, head = [], genesis(GENERATION, 0).hash
    for entry in entries:
        msgspec.structs.force_setattr(entry, "prev_hash", head)
        body = encoder.encode_body_before_last(entry)
        head = link(head, body)
        values.append(encoder.frame_with_last(body, head))
    return values


def follow(records: Iterable[Record], head: ChainHead) -> float:
    """Seconds that following takes.

    Raises:
        WrongResultError: the chain was not found whole.
    """
    started = time.process_time()
    follower = Follower("audit", 0, lambda _: True, {}, {})
    follower.take(records)
    chains, findings = follower.finish({GENERATION})
    spent_s = time.process_time() - started
    if findings or chains[GENERATION].head != head:
        raise WrongResultError("the chain was not found whole", why=str(findings[:3]))
    return spent_s


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=500_000)
    count = parser.parse_args().entries
    encoder = AvroEncoder(checked_in_schemas()["AuditEntry"], SCHEMA_ID)
    entries = entries_of(count)
    started = time.process_time()
    for entry in entries:
        encoder.encode(entry)
    plain_s = time.process_time() - started
    started = time.process_time()
    values = linked(entries, encoder)
    linked_s = time.process_time() - started
    head = ChainHead(count, values[-1][-32:])
    mean_bytes = sum(map(len, values)) / count
    print(f"{count:,} entries of {mean_bytes:.0f} bytes")
    print(f"encode alone            {plain_s / count * 1e6:6.2f} µs an entry")
    print(f"encode and link         {linked_s / count * 1e6:6.2f} µs an entry")
    memory_s = follow(list(enumerate(values)), head)
    print(f"follow from memory      {count / memory_s:10,.0f} entries a second")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "entries-0.bin")
        with path.open("wb") as file:
            file.writelines(pack(record) for record in enumerate(values))
        with path.open("rb") as file:
            file_s = follow(read_records(file), head)
    print(f"follow from an export   {count / file_s:10,.0f} entries a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
