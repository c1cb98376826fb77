"""Files that are not blocks are refused, and the message says where and why."""

import gzip
import json
from pathlib import Path

import pytest

from chain.gas import backtest, windows
from tests.gas.conftest import market, write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no blocks"),
        ("number,base_fee_wei\n", "holds no blocks"),
        ("height,base_fee_wei\n1,2\n", "no column of a block number"),
        ("number,price\n1,2\n", "no column of base fees"),
        ("number,base_fee_wei\n1,5\nx,5\n", "line 3: number is not an integer"),
        ("number,base_fee_wei\n1,5\n2,cheap\n", "line 3: base_fee_wei is not a number"),
        ("number,base_fee_wei\n1,5\n2\n", "line 3: base_fee_wei is not a number"),
        ("number,base_fee_wei\n1,5\n2,0\n", "line 3: base_fee_wei is not a positive number"),
        ("number,base_fee_wei\n1,5\n2,nan\n", "line 3: base_fee_wei is not a positive number"),
        ("number,base_fee_wei\n1,5\n2,-3\n", "line 3: base_fee_wei is not a positive number"),
        ("number,base_fee_wei\n2,5\n2,5\n", "line 3: block numbers do not rise"),
        ("number,timestamp,base_fee_wei\n1,5,5\n2,soon,6\n", "line 3: timestamp is not a time"),
        ("number,timestamp,base_fee_wei\n1,nan,5\n", "line 2: timestamp is not a time"),
        ("number,gas_used,gas_limit\n1,9,8\n", "line 2: no chain holds"),
        ("number,gas_used,gas_limit\n1,4,8\n2,,\n", "nor gas used and limit in every row"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str, message: str):
    """Each fault has its own message with the file's name."""
    file = tmp_path / "blocks.csv"
    file.write_text(content)
    with pytest.raises(windows.MalformedFile, match=message):
        windows.read(file)


def test_a_damaged_archive_is_refused(tmp_path: Path):
    """Half a gzip file is an error, not half a window."""
    file = tmp_path / "blocks.csv.gz"
    file.write_bytes(gzip.compress(b"number,base_fee_wei\n1,5\n" * 100)[:40])
    with pytest.raises(windows.MalformedFile, match="cannot be read"):
        windows.read(file)


def test_a_file_too_short_for_its_deadline_says_so(tmp_path: Path, capsys):
    """The command fails with one line instead of an empty report."""
    file = tmp_path / "blocks.csv"
    rows = "".join(f"{n},{10**9}\n" for n in range(200))
    file.write_text("number,base_fee_wei\n" + rows)
    assert backtest.main([str(file), "--deadline-blocks", "300", "--json"]) == 2
    assert "too few" in capsys.readouterr().err


def test_fifty_blocks_are_enough_for_a_deadline_of_five(tmp_path: Path, capsys):
    """A warm-up of six, and no opinion but the recurrence: short is not too short."""
    file = write(market(50), tmp_path / "blocks.csv")
    assert backtest.main([str(file), "--deadline-blocks", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["warm_up_blocks"], report["arrivals"]) == (6, 50 - 5 - 1 - 6)
    assert report["deadline_kept"] == 1


def test_decisions_that_cannot_be_written_are_one_line(tmp_path: Path, capsys):
    """A folder that is not there is named, instead of a traceback after the whole walk."""
    file = write(market(80), tmp_path / "blocks.csv")
    out = tmp_path / "missing" / "decisions.csv"
    assert backtest.main([str(file), "--deadline-blocks", "5", "--decisions", str(out)]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cells", "times"),
    [
        (("2026-02-06T00:00:00Z", "2026-02-06 00:00:12+00:00"), [1770336000, 1770336012]),
        (("2026-02-06T00:00:00", "1770336012"), [1770336000, 1770336012]),
        (("1770336000.0", ""), None),
    ],
)
def test_times_are_seconds_or_iso_8601_or_unknown(tmp_path: Path, cells, times):
    """Exports write either; with a gap in them the blocks count as evenly spaced."""
    file = tmp_path / "blocks.csv"
    file.write_text(f"number,timestamp,base_fee_wei\n1,{cells[0]},5\n2,{cells[1]},6\n")
    window = windows.read(file)
    assert (None if window.times is None else window.times.tolist()) == times


def test_gas_that_is_missing_somewhere_is_not_needed_beside_fees(tmp_path: Path):
    """Exports leave cells empty, and begin with a byte order mark; neither hides the fees."""
    file = tmp_path / "blocks.csv"
    file.write_text("\ufeffnumber,base_fee_wei,gas_used,gas_limit\n1,5,4,8\n2.0,6,,\n", "utf-8")
    window = windows.read(file)
    assert window.fees.tolist() == [5, 6]
    assert window.gas_used is None


def test_gwei_columns_are_read_as_wei(tmp_path: Path):
    """The shared files name their columns differently."""
    file = tmp_path / "blocks.csv"
    file.write_text("number,timestamp_est,base_fee_gwei_recon\n1,10,1.5\n2,22,1.25\n")
    window = windows.read(file)
    assert window.fees.tolist() == [1.5e9, 1.25e9]
    assert window.times is not None
