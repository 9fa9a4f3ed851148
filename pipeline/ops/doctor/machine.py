"""Checks of this machine: the files that settings name, the disk, the figures, what is installed.

Owns: these checks, and what to do about what they find.
Does not own: the files' own rules (core/policy.py, ops/topics/file.py), publishing figures
(ops/assets/catalogue.py).
Invariant: nothing is written.
"""

import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

import confluent_kafka as ck

from pipeline.codec.schemas import load_schemas
from pipeline.core.errors import CoreError
from pipeline.core.geometry.catalogue import GENERATOR_VERSION
from pipeline.core.zones import TZDATA_VERSION
from pipeline.ops.assets.catalogue import check, open_store
from pipeline.ops.doctor.finding import Finding, Subject
from pipeline.settings.load import read_policy

_WARN_FACTOR: Final = 4


def files(subject: Subject) -> Finding:
    """Whether topics.yaml, the policy and the schemas can be read, and make sense."""
    schemas = load_schemas(subject.settings.schemas_dir)
    try:
        policy = read_policy(subject.settings).at(subject.now_ms())
    except CoreError as error:
        fix = f"correct {subject.settings.policy_file}"
        return Finding("files", "fail", f"the policy was refused: {error}", fix)
    topics = len(subject.topics.topics)
    said = f"policy {policy.version}, {topics} topics, {len(schemas)} schemas"
    return Finding("files", "ok", said)


def disk(subject: Subject) -> Finding:
    """Whether the local stores have room, and may be written."""
    folder = subject.settings.data_dir
    there = _nearest(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        said, fix = f"{there} must not be written by this user", "correct its owner or its mode"
        return Finding("disk", "fail", said, fix)
    usage = shutil.disk_usage(there)
    free_gib, least = usage.free / (1 << 30), subject.bounds.disk_free_bytes
    said = f"{free_gib:.1f} GiB of {usage.total / (1 << 30):.1f} GiB are free for {folder}"
    if folder != there:
        said += ", which is not there yet"
    fix = "free space, or move AWAWAY_DATA_DIR: a store that cannot grow stops its partitions"
    if usage.free < least:
        return Finding("disk", "fail", said, fix)
    if usage.free < least * _WARN_FACTOR:
        return Finding("disk", "warn", said, fix)
    return Finding("disk", "ok", said)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    absolute = folder.absolute()
    return next(one for one in (absolute, *absolute.parents) if one.is_dir())


def assets(subject: Subject) -> Finding:
    """Whether the catalogue of figures is published, and complete."""
    url = subject.settings.assets_url
    count = check(open_store(url))
    return Finding("assets", "ok", f"all {count:,} of generator {GENERATOR_VERSION} are in {url}")


def versions(_subject: Subject) -> Finding:
    """What is installed here. The brokers do not tell their version to clients."""
    said = (
        f"awaway {version('awaway')}, Python {platform.python_version()}, librdkafka"
        f" {ck.libversion()[0]}, tzdata {TZDATA_VERSION}, figures {GENERATOR_VERSION}"
    )
    return Finding("versions", "ok", said)
