"""PNG files and the commands around the catalogue."""

import json
import struct
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.core.geometry.catalogue import golden_bytes
from pipeline.core.geometry.render import Renderer
from pipeline.ops.assets import pictures

README_PICTURE = Path(__file__).parents[2] / "docs" / "images" / "figures.png"


def png_size(data: bytes) -> tuple[int, int]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_a_sheet_is_a_grid_of_cells() -> None:
    cells = pictures.all_variants(30)
    assert cells == [(30, variant) for variant in range(12)]
    assert png_size(pictures.sheet(cells, columns=4, size_px=20)) == (80, 60)
    assert png_size(pictures.sheet(cells[:5], columns=4, size_px=20, plain=True)) == (80, 40)


def test_a_plain_sheet_differs_from_one_with_grounds() -> None:
    cells = [(3, 0)]
    plain = pictures.sheet(cells, columns=1, size_px=50, plain=True)
    assert plain != pictures.sheet(cells, columns=1, size_px=50)


def test_what_sheets_show() -> None:
    assert pictures.whole_cycle(3) == [(frame, 3) for frame in range(1, 109)]
    assert [frame for frame, _ in pictures.completed_figures()][-2:] == [96, 108]
    assert [variant for _, variant in pictures.completed_figures()] == [*range(12), 0]


def test_a_frame_is_written_in_both_formats(tmp_path: Path) -> None:
    pictures.write_frame(tmp_path, 1, (0, 5), None)
    pictures.write_frame(tmp_path, 1, (5,), 24)
    assert (tmp_path / "001-05-bindu.svg").read_bytes() == Renderer().svg(1, 5)
    assert png_size((tmp_path / "001-05-bindu.png").read_bytes()) == (24, 24)
    assert len(list(tmp_path.iterdir())) == 3


def call(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    code = run(["assets", *words, "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found | {"exit": code}


def test_publish_check_and_publish_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    missing = call(capsys, "check", "--store", store)
    assert (missing["exit"], missing["error"]) == (1, "AssetsMissingError")
    first = call(capsys, "publish", "--store", store)
    assert (first["exit"], first["created"], first["present"]) == (0, 1296, 0)
    again = call(capsys, "publish", "--store", store)
    assert (again["created"], again["present"], again["generator_version"]) == (0, 1296, "1")
    checked = call(capsys, "check", "--store", store, "--deep")
    assert (checked["exit"], checked["assets"], checked["deep"]) == (0, 1296, True)


def test_the_store_comes_from_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWAWAY_ASSETS_URL", str(tmp_path / "from settings"))
    assert call(capsys, "publish")["store"] == str(tmp_path / "from settings")
    assert (tmp_path / "from settings" / "catalogue" / "1.json").read_bytes() == golden_bytes()


def test_render_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(
        capsys, "render", str(tmp_path), "--frames", "12-13", "--variant", "4", "--size", "32"
    )
    assert (done["exit"], done["files"]) == (0, 2)
    names = ["012-04-seed-of-life.png", "013-04-seed-of-life.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert png_size((tmp_path / names[0]).read_bytes()) == (32, 32)


def test_render_writes_the_assets_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "render", str(tmp_path), "--frames", "7", "--format", "svg")
    assert done["files"] == 12
    found = (tmp_path / "007-11-tripod-of-life.svg").read_bytes()
    assert found == Renderer().svg(7, 11)


@pytest.mark.parametrize("frames", ["0", "109", "5-4", "x", "3-", "-3", "1-2-3", "²"])
def test_frames_that_are_none_are_a_usage_error(
    frames: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "render", str(tmp_path), f"--frames={frames}")["exit"] == 2


@pytest.mark.parametrize(
    ("options", "count", "size"),
    [
        ([], 13, (80, 48)),
        (["--variant", "2"], 108, (192, 144)),
        (["--frame", "62"], 12, (64, 48)),
    ],
)
def test_sheets(
    options: list[str],
    count: int,
    size: tuple[int, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "deeper" / "sheet.png"
    done = call(capsys, "sheet", str(out), "--size", "16", *options)
    assert (done["exit"], done["pictures"]) == (0, count)
    assert png_size(out.read_bytes()) == size


def test_a_sheet_of_one_picture_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    assert call(capsys, "sheet", str(out), "--frame", "1", "--variant", "1")["exit"] == 2
    assert not out.exists()


def test_freezing_writes_the_golden_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "1.json"
    assert call(capsys, "freeze", str(out))["exit"] == 0
    assert out.read_bytes() == golden_bytes()


def test_text_output_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["assets", "sheet", str(tmp_path / "a.png"), "--size", "16"]) == 0
    assert capsys.readouterr().out.startswith("13 pictures in ")


def test_the_readmes_picture_is_small() -> None:
    data = README_PICTURE.read_bytes()
    assert png_size(data) == (990, 594)
    assert len(data) < 400_000
