"""Freeze a record's schema as its next released version: `python -m tests.codec.release NAME`.

Owns: the four files that belong to a released version: its schema, its fingerprint, and the golden
bytes of the record's sample, with the sample as JSON.
Does not own: the samples (samples.py), whether the schema may follow the released ones
(test_schemas.py).
Invariant: an earlier version's files are never touched.
"""

import json
import shutil
import sys
from pathlib import Path

import msgspec

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schema
from pipeline.ops.schemas.compatibility import FINGERPRINTS_FILE, released_versions
from tests.codec.samples import SAMPLES, SCHEMAS_DIR


def release(folder: Path, name: str) -> int:
    """Write the files of a new version, and return its number.

    Args:
        folder: `schemas/`.
        name: of the record.
    """
    current = folder / f"{name}.avsc"
    schema = load_schema(current)
    number = len(released_versions(folder, name)) + 1
    frozen = folder / "released" / name / f"v{number}.avsc"
    frozen.parent.mkdir(exist_ok=True)
    shutil.copyfile(current, frozen)
    recorded = folder / "released" / FINGERPRINTS_FILE
    fingerprints = json.loads(recorded.read_text(encoding="utf-8"))
    fingerprints[f"{name}/v{number}"] = schema.fingerprint
    recorded.write_text(json.dumps(fingerprints, indent=2) + "\n", encoding="utf-8")
    (sample,) = [one for one in SAMPLES if type(one).__name__ == name]
    golden = folder / "golden" / f"{name}-v{number}"
    golden.with_suffix(".bin").write_bytes(AvroEncoder(schema, 1).encode_body(sample))
    golden.with_suffix(".json").write_bytes(
        msgspec.json.format(msgspec.json.encode(sample)) + b"\n"
    )
    return number


if __name__ == "__main__":
    for record in sys.argv[1:]:
        print(f"{record}/v{release(SCHEMAS_DIR, record)}")
