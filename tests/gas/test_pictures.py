"""The plot of a window and the honest figures, on a small file made here."""

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chain.gas import backtest, evaluate, plot
from tests.gas.conftest import market, write

ROWS = 500


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(market(ROWS), tmp_path_factory.mktemp("gas") / "blocks.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "500"], "no such rows"),
        (["--from", "-1"], "no such rows"),
        (["--blocks", "1"], "no such rows"),
        (["--deadline-blocks", "450"], "too few"),
    ],
)
def test_rows_that_are_not_there_are_refused(file: Path, tmp_path: Path, capsys, words, message):
    """In one line, and nothing is written."""
    out = tmp_path / "out.svg"
    assert plot.main([str(file), "--out", str(out), *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_window_is_drawn_with_band_fees_and_both_kinds_of_marks(file: Path, tmp_path: Path):
    """One order in ten: where it was sent, and where hindsight would have sent it."""
    out = tmp_path / "out.svg"
    words = ["--from", "100", "--blocks", "200", "--deadline-blocks", "20", "--out", str(out)]
    assert plot.main([str(file), *words]) == 0
    drawn = ElementTree.parse(out).getroot()
    [band], [line] = drawn.findall("{*}polygon"), drawn.findall("{*}polyline")
    assert len(line.attrib["points"].split()) == 200
    assert len(band.attrib["points"].split()) == 400
    circles = [dict(one.attrib) for one in drawn.findall("{*}circle")]
    for circle in circles:
        x, y = float(circle["cx"]), float(circle["cy"])
        assert 0 <= x <= 1_000
        assert 0 <= y <= 420
        assert math.isfinite(x + y)
    hollow = [one for one in circles if one["fill"] == "none"]
    assert len(hollow) == len(circles) / 2
    assert 15 <= len(hollow) <= 20  # of 200 rows every tenth, less those that end outside


def test_leaving_one_file_out_needs_two(file: Path, capsys):
    """One alone would be scored by a model that has seen it."""
    assert evaluate.main([str(file)]) == 2
    assert "needs two" in capsys.readouterr().err


def test_each_file_is_scored_by_a_model_that_has_not_seen_it(file: Path, tmp_path: Path, capsys):
    """And each fold's model is kept for the whole report, which reads it."""
    other = write(market(ROWS, seed=8), tmp_path / "other.csv")
    folds = tmp_path / "FOLDS"
    assert evaluate.main([str(file), str(other), "--keep", str(folds)]) == 0
    said = capsys.readouterr().out.splitlines()
    for name in ("blocks.csv", "other.csv"):
        mine = [line.split("\t")[1] for line in said if line.startswith(name)]
        assert mine[:3] == ["deadline 5", "deadline 50", "deadline 300"]
        assert mine[3:] == [f"horizon {blocks}" for blocks in (1, 5, 20, 50, 300)]
    assert {path.name for path in folds.iterdir()} == {"without-blocks.json", "without-other.json"}
    model = str(folds / "without-blocks.json")
    assert backtest.main([str(file), "--deadline-blocks", "5", "--json", "--model", model]) == 0
    kept, other_fold = (path.read_text() for path in sorted(folds.iterdir()))
    assert kept != other_fold
