"""The catalogue in a store: published once, safely repeated, exactly checked."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore

from pipeline.core.geometry.catalogue import (
    GoldenCatalogue,
    decode_golden,
    golden_bytes,
    object_key,
)
from pipeline.core.geometry.render import Renderer
from pipeline.ops.assets import catalogue as assets
from pipeline.ops.assets.catalogue import (
    AssetConflictError,
    AssetDriftError,
    AssetsMissingError,
    AssetStoreError,
    check,
    open_store,
    publish,
)

MANIFEST = "catalogue/1.json"
FIRST = object_key(GoldenCatalogue().asset_id(1, 0))


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return assets.draw_all(decode_golden(golden_bytes()))


@pytest.fixture(autouse=True)
def _draw_once(
    request: pytest.FixtureRequest, drawn: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spare every test but those about drawing the drawing."""
    if "draws" not in request.node.name:
        monkeypatch.setattr(assets, "draw_all", lambda _golden: drawn)


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    kinds = {"memory": "memory:///", "folder": str(tmp_path / "some where")}
    return open_store(kinds[request.param], create=True)


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {
        meta["path"]: bytes(obstore.get(store, meta["path"]).bytes())
        for page in obstore.list(store)
        for meta in page
    }


def test_publishing_puts_everything_and_the_manifest(store: ObjectStore) -> None:
    report = publish(store)
    assert (report.created, report.present, report.repaired) == (1296, 0, 0)
    assert check(store) == check(store, deep=True) == 1296
    found = contents(store)
    assert len(found) == 1297
    assert found[MANIFEST] == golden_bytes()
    assert found[FIRST] == Renderer().svg(1, 0)
    assert report.size_bytes == sum(map(len, found.values())) - len(found[MANIFEST])


def test_publishing_again_changes_nothing(store: ObjectStore) -> None:
    publish(store)
    before = contents(store)
    report = publish(store)
    assert (report.created, report.present, report.repaired) == (0, 1296, 0)
    assert contents(store) == before


def test_publishing_goes_on_where_a_crash_left_it() -> None:
    store = MemoryStore()
    steps: list[tuple[int, int]] = []

    def crash(done: int, total: int) -> None:
        steps.append((done, total))
        if done == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(store, progress=crash)
    assert steps == [(n, 1297) for n in range(1, 101)]
    half = contents(store)
    assert MANIFEST not in half, "the manifest comes last"
    with pytest.raises(AssetsMissingError):
        check(store)
    report = publish(store)
    assert report.present == len(half)
    assert report.created == 1296 - len(half)
    assert check(store, deep=True) == 1296


def test_several_may_publish_at_once() -> None:
    store = MemoryStore()
    gate = threading.Barrier(3)

    def one(_: int) -> assets.PublishReport:
        gate.wait()
        return publish(store)

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(one, range(3)))
    assert sum(report.created for report in reports) == 1296
    assert check(store, deep=True) == 1296


def test_what_is_there_is_not_published_again(tmp_path: Path) -> None:
    url = str(tmp_path / "new")
    steps: list[tuple[int, int]] = []
    assert assets.ensure_published(url, lambda *step: steps.append(step))
    assert len(steps) == 1297
    assert not assets.ensure_published(url, lambda *step: steps.append(step))
    assert len(steps) == 1297
    assert check(open_store(url)) == 1296


def test_what_is_wrong_is_not_published_over(tmp_path: Path) -> None:
    assets.ensure_published(str(tmp_path))
    (tmp_path / FIRST).write_bytes(b"")
    with pytest.raises(AssetConflictError):
        assets.ensure_published(str(tmp_path))


def test_asset_urls_lead_to_the_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    catalogue = GoldenCatalogue(assets.asset_base_url("my assets"))
    url = catalogue.url(catalogue.asset_id(1, 0))
    assert url == (tmp_path / "my assets" / FIRST).as_uri()
    assert assets.asset_base_url("s3://bucket/a") == "s3://bucket/a"


def test_progress_ends_at_its_total() -> None:
    steps: list[tuple[int, int]] = []
    publish(MemoryStore(), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(n, 1297) for n in range(1, 1298)]


def test_an_empty_store_lacks_the_manifest() -> None:
    with pytest.raises(AssetsMissingError) as caught:
        check(MemoryStore())
    assert caught.value.why == MANIFEST
    assert "assets publish" in caught.value.fix


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "some where"
    publish(open_store(folder.as_uri(), create=True))
    assert check(open_store(str(folder))) == 1296


def test_a_folder_that_is_not_there_is_not_made_by_asking(tmp_path: Path) -> None:
    for url in (str(tmp_path / "none"), (tmp_path / "none").as_uri()):
        with pytest.raises(AssetsMissingError, match="no folder"):
            open_store(url)
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_object_is_missed(store: ObjectStore) -> None:
    publish(store)
    obstore.delete(store, FIRST)
    with pytest.raises(AssetsMissingError) as caught:
        check(store)
    assert (caught.value.fields["missing"], caught.value.why) == (1, FIRST)
    assert publish(store).created == 1
    assert check(store) == 1296


def test_a_truncated_object_is_a_conflict_until_repaired(store: ObjectStore) -> None:
    publish(store)
    obstore.put(store, FIRST, b"<svg/>")
    with pytest.raises(AssetConflictError) as caught:
        check(store)
    assert (caught.value.fields["wrong"], caught.value.why) == (1, FIRST)
    with pytest.raises(AssetConflictError) as again:
        publish(store)
    assert again.value.fields["key"] == FIRST
    assert contents(store)[FIRST] == b"<svg/>", "never replaced unasked"
    assert publish(store, repair=True).repaired == 1
    assert check(store, deep=True) == 1296


def test_only_a_deep_check_sees_other_bytes_of_the_same_size(store: ObjectStore) -> None:
    publish(store)
    data = contents(store)[FIRST]
    obstore.put(store, FIRST, data.replace(b"Bindu", b"Bandu"))
    assert check(store) == 1296
    with pytest.raises(AssetConflictError) as caught:
        check(store, deep=True)
    assert caught.value.why == FIRST


def test_another_manifest_is_a_conflict(store: ObjectStore) -> None:
    publish(store)
    obstore.put(store, MANIFEST, golden_bytes() + b" ")
    with pytest.raises(AssetConflictError):
        check(store)
    with pytest.raises(AssetConflictError):
        publish(store)
    publish(store, repair=True)
    assert check(store) == 1296


def test_other_objects_do_not_disturb(store: ObjectStore) -> None:
    publish(store)
    obstore.put(store, "svg/README.txt", b"hello")
    assert check(store) == 1296


def test_a_build_that_draws_otherwise_publishes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Renderer):
        def svg(self, frame: int, variant: int, *, ground: bool = True) -> bytes:
            data = super().svg(frame, variant, ground=ground)
            return data + b"\n" if (frame, variant) == (1, 11) else data

    monkeypatch.setattr(assets, "Renderer", Other)
    store = MemoryStore()
    with pytest.raises(AssetDriftError) as caught:
        publish(store)
    assert (caught.value.fields["frame"], caught.value.fields["variant"]) == (1, 11)
    assert contents(store) == {}


@pytest.mark.parametrize("url", ["gopher://x/y", "s3://"])
def test_a_url_of_no_store_is_explained(url: str) -> None:
    with pytest.raises(AssetStoreError) as caught:
        open_store(url)
    assert url in str(caught.value)
    assert "\n" not in caught.value.why


def test_a_store_that_fails_is_explained(tmp_path: Path) -> None:
    (tmp_path / "svg").write_text("a file where a folder should be")
    with pytest.raises(AssetStoreError) as caught:
        publish(open_store(str(tmp_path)))
    assert caught.value.fields["subject"].startswith("svg/")  # type: ignore[union-attr]
    with pytest.raises(AssetsMissingError):
        check(open_store(str(tmp_path)))


def test_browsers_learn_type_and_lifetime_where_the_store_can_say_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}
    put = obstore.put

    def spy(store: ObjectStore, key: str, data: bytes, **options: Any) -> Any:
        seen[key] = options["attributes"]
        return put(store, key, data, **options)

    monkeypatch.setattr(obstore, "put", spy)
    publish(MemoryStore())
    assert seen[FIRST]["Content-Type"] == "image/svg+xml"
    assert "immutable" in seen[FIRST]["Cache-Control"]
    assert seen[MANIFEST] is None
    publish(LocalStore(tmp_path))
    assert seen[FIRST] is None
