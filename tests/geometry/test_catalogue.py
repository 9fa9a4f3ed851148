"""Names of assets: the golden list, URLs, variants."""

import subprocess
import sys
import zlib
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.assets import AssetCatalogue
from pipeline.core.geometry import catalogue
from pipeline.core.geometry.catalogue import GoldenCatalogue, decode_golden, golden_bytes
from pipeline.core.geometry.cycle import SPANS
from pipeline.core.geometry.errors import FrameError, GoldenListError

CATALOGUE = GoldenCatalogue("https://figures.example/v1/")


def test_it_is_what_the_domain_asks_for() -> None:
    given_to_the_fold: AssetCatalogue = CATALOGUE
    assert given_to_the_fold.generator_version == "1" == catalogue.GENERATOR_VERSION


def test_ids_are_those_of_the_golden_list() -> None:
    golden = decode_golden(golden_bytes())
    assert [CATALOGUE.asset_id(f, v) for f in range(1, 109) for v in range(12)] == [
        asset.id for row in golden.frames for asset in row
    ]


@pytest.mark.parametrize(("frame", "variant"), [(0, 0), (109, 0), (1, -1), (1, 12), (-3, 4)])
def test_ids_outside_the_catalogue_are_refused(frame: int, variant: int) -> None:
    with pytest.raises(FrameError) as caught:
        CATALOGUE.asset_id(frame, variant)
    assert (caught.value.frame, caught.value.variant) == (frame, variant)


@pytest.mark.parametrize("frame", [0, -1, 109])
def test_figures_outside_the_cycle_are_refused(frame: int) -> None:
    with pytest.raises(FrameError):
        CATALOGUE.figure_of(frame)


def test_figures_of_frames() -> None:
    runs = Counter(CATALOGUE.figure_of(frame) for frame in range(1, 109))
    assert list(runs) == [slug for slug, _ in SPANS]
    assert all(CATALOGUE.figure_of(last) == slug for slug, last in SPANS)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "svg/abc.svg"),
        ("https://cdn.example/a", "https://cdn.example/a/svg/abc.svg"),
        ("https://cdn.example/a/", "https://cdn.example/a/svg/abc.svg"),
        ("file:///", "file:///svg/abc.svg"),
    ],
)
def test_urls_are_the_stores_keys_below_a_base(base: str, url: str) -> None:
    assert GoldenCatalogue(base).url("abc") == url
    assert url.endswith(catalogue.object_key("abc"))


@given(st.text())
def test_a_variant_is_crc_32_modulo_12(user_id: str) -> None:
    assert CATALOGUE.variant_of(user_id) == zlib.crc32(user_id.encode("utf-8")) % 12


def test_variants_never_change() -> None:
    users = ["", "ada", "user-1", "user-2", "Zoë", "ユーザー"]
    assert [CATALOGUE.variant_of(user) for user in users] == [0, 0, 8, 10, 2, 10]


def test_variants_are_spread_evenly() -> None:
    counts = Counter(CATALOGUE.variant_of(f"user-{n:06d}") for n in range(12_000))
    assert len(counts) == 12
    assert min(counts.values()) > 850
    assert max(counts.values()) < 1150


def damaged(**changes: object) -> bytes:
    content = msgspec.json.decode(golden_bytes())
    content.update(changes)
    return msgspec.json.encode(content)


def test_damaged_lists_are_refused() -> None:
    frames = msgspec.json.decode(golden_bytes())["frames"]
    twice = [frames[0], frames[0], *frames[2:]]
    no_id = [[["x" * 64, 1], *frames[0][1:]], *frames[1:]]
    for data, reason in [
        (b"", "cannot be read"),
        (b"[1]", "cannot be read"),
        (damaged(generator_version=1), "cannot be read"),
        (damaged(frames=frames[1:]), "108 frames"),
        (damaged(frames=[frames[0][1:], *frames[1:]]), "108 frames"),
        (damaged(frames=twice), "repeat"),
        (damaged(frames=no_id), "repeat"),
        (damaged(), "canonical"),
        (golden_bytes() + b"\n", "canonical"),
    ]:
        with pytest.raises(GoldenListError, match=reason):
            decode_golden(data)


def test_an_unknown_generator_version_has_no_list() -> None:
    with pytest.raises(GoldenListError, match=r"no golden list 0\.json"):
        golden_bytes("0")


def test_keys_of_manifests() -> None:
    assert catalogue.manifest_key("7") == "catalogue/7.json"


def test_the_catalogue_draws_nothing_and_loads_no_figure() -> None:
    program = (
        "import sys; from pipeline.core.geometry.catalogue import GoldenCatalogue;"
        "GoldenCatalogue().asset_id(108, 11);"
        "print([m for m in sys.modules if m.startswith('pipeline.core.geometry.')"
        " and m.rpartition('.')[2] in ('render', 'gallery', 'svg', 'shapes')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
