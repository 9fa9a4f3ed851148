"""Freezing a schema writes what stands in schemas/ for the versions that were released."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.codec.schemas import RECORDS
from pipeline.ops.schemas.compatibility import FINGERPRINTS_FILE, changed_releases
from tests.codec.release import release
from tests.codec.samples import SCHEMAS_DIR


@pytest.mark.parametrize("name", ["Command", "AuditEntry"])
def test_the_last_version_is_written_again_as_it_was(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(SCHEMAS_DIR, folder)
    recorded = folder / "released" / FINGERPRINTS_FILE
    fingerprints = json.loads(recorded.read_text(encoding="utf-8"))
    number = max(int(key.partition("/v")[2]) for key in fingerprints if key.startswith(f"{name}/"))
    del fingerprints[f"{name}/v{number}"]
    recorded.write_text(json.dumps(fingerprints), encoding="utf-8")
    golden = [Path("golden", f"{name}-v{number}{suffix}") for suffix in (".bin", ".json")]
    for path in (Path("released", name, f"v{number}.avsc"), *golden):
        (folder / path).unlink()
    assert release(folder, name) == number
    assert changed_releases(folder, RECORDS) == []
    for path in golden:
        assert (folder / path).read_bytes() == (SCHEMAS_DIR / path).read_bytes(), path
