"""Files that are not blocks are refused, and the message says where and why."""

import gzip
from pathlib import Path

import pytest

from chain.gas import backtest, windows


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
