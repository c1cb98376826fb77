"""Address lists: what is refused, how the Treasury writes, and who looks like whom."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from compliance_graph.labels import Labels
from compliance_graph.lists import ListBook, Lists
from compliance_graph.lists.addresses import checked_form, normal_form
from compliance_graph.lists.files import AddressLists, read_publication
from compliance_graph.lists.lookalike import Ends
from compliance_graph.lists.treasury import read_treasury
from compliance_graph.policy import load_policy
from compliance_graph.screener import judge
from settlement.errors import InvalidAddress, ScreeningUnavailable
from settlement.ports.lists import Action, Entry, Listing, StoredLists
from settlement.ports.screening import Outcome

BITCOIN = "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h"
ETHER = "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"
TRON = "TNiq9AXBp9EjUqhDhrwrfvAA8U3GUQZH81"
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
SEGWIT = "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"
CASH = "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"
AT = datetime(2026, 11, 1, tzinfo=UTC)

ENTRY = """<sdnEntry><uid>{uid}</uid><lastName>SUEX OTC, S.R.O.</lastName><idList>
<id><uid>1</uid><idType>Registration ID</idType><idNumber>7</idNumber></id>
<id><uid>2</uid><idType>Digital Currency Address - {asset}</idType><idNumber>
 {address} </idNumber></id></idList></sdnEntry>"""
PLAIN = """<?xml version="1.0" standalone="yes"?>
<sdnList xmlns="https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/XML">
<publshInformation><Publish_Date>09/23/2026</Publish_Date><Record_Count>{count}</Record_Count>
</publshInformation>{entries}</sdnList>"""
ADVANCED = """<?xml version="1.0" encoding="utf-8"?>
<Sanctions
 xmlns="https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/ADVANCED_XML">
<DateOfIssue CalendarTypeID="1"><Year>2026</Year><Month>9</Month><Day>23</Day></DateOfIssue>
<ReferenceValueSets><FeatureTypeValues>
<FeatureType ID="8" FeatureTypeGroupID="1">Website</FeatureType>
<FeatureType ID="344" FeatureTypeGroupID="1">Digital Currency Address - XBT</FeatureType>
<FeatureType ID="345" FeatureTypeGroupID="1">Digital Currency Address - ETH</FeatureType>
</FeatureTypeValues></ReferenceValueSets><DistinctParties>
<DistinctParty FixedRef="36351"><Profile ID="36351"><Identity ID="1"><Alias><DocumentedName>
<DocumentedNamePart><NamePartValue>LAZARUS GROUP</NamePartValue></DocumentedNamePart>
</DocumentedName></Alias></Identity>
<Feature ID="1" FeatureTypeID="8"><FeatureVersion ID="1"><VersionDetail DetailTypeID="1432">
no address</VersionDetail></FeatureVersion></Feature>
<Feature ID="2" FeatureTypeID="345"><FeatureVersion ID="2"><Comment/>
<VersionDetail DetailTypeID="1430"/><VersionDetail DetailTypeID="1432">{address}</VersionDetail>
</FeatureVersion></Feature></Profile></DistinctParty></DistinctParties></Sanctions>"""
NONE = ",-0- " * 7


def row(uid: int, remarks: str) -> str:
    return f'{uid},"SUEX OTC, S.R.O.","entity","CYBER2"{NONE},"{remarks}"\r\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "publication"


def write(file: Path, text: str) -> None:
    file.write_text(text)


@pytest.mark.parametrize(
    ("asset", "address"),
    [
        ("ETH", ETHER.replace("B716B", "b716B")),
        ("ETH", ETHER[:-1]),
        ("ETH", BITCOIN),
        ("XBT", BITCOIN[:-1] + "j"),
        ("XBT", TRON),
        ("XBT", TAPROOT[:-1] + "q"),
        ("XBT", SEGWIT[:-1] + "t"),
        ("XBT", "bc1QW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("BCH", CASH[:-1] + "q"),
        ("TRX", BITCOIN),
        ("XBT", ""),
        ("XMR", "two words"),
    ],
)
def test_an_address_with_a_wrong_letter_or_of_another_chain_is_refused(
    asset: str, address: str
) -> None:
    """Its checksum tells, of whatever kind."""
    with pytest.raises(InvalidAddress):
        checked_form(asset, address)


@pytest.mark.parametrize(
    ("asset", "address", "normal"),
    [
        ("ETH", ETHER, ETHER.lower()),
        ("USDT", ETHER.upper().replace("0X", "0x"), ETHER.lower()),
        ("ETH", ETHER[2:], ETHER.lower()),
        ("local", ETHER[2:].lower(), ETHER.lower()),
        ("", ETHER[2:].upper(), ETHER.lower()),
        ("USDT", TRON, TRON),
        ("XBT", BITCOIN, BITCOIN),
        ("XBT", TAPROOT, TAPROOT),
        ("XBT", SEGWIT, SEGWIT.lower()),
        ("BCH", CASH, CASH.removeprefix("bitcoincash:")),
        ("BCH", CASH.removeprefix("bitcoincash:"), CASH.removeprefix("bitcoincash:")),
        ("BCH", CASH.upper(), CASH.removeprefix("bitcoincash:")),
        ("BCH", CASH.upper().removeprefix("BITCOINCASH:"), CASH.removeprefix("bitcoincash:")),
    ],
)
def test_an_address_has_one_spelling(asset: str, address: str, normal: str) -> None:
    """Which is also the one under which it is looked up."""
    assert checked_form(asset, address) == normal == normal_form(address)


def test_letters_that_only_look_like_another_spelling_stay_as_they_are() -> None:
    """Of capitals without a prefix the checksum of 40 bits says that they are a cashaddr."""
    letters = CASH.upper().removeprefix("BITCOINCASH:")
    assert normal_form(letters[:-1] + "Q") == letters[:-1] + "Q"
    assert normal_form(f"bitcoincash:{BITCOIN}") == BITCOIN


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (PLAIN.format(count=2, entries=ENTRY.format(uid=1, asset="XBT", address=BITCOIN)), "torn"),
        (PLAIN.format(count=0, entries=""), "names no"),
        (
            PLAIN.format(count=1, entries=ENTRY.format(uid=1, asset="XBT", address=BITCOIN))[:-9],
            "not whole",
        ),
        (ADVANCED.format(address=ETHER)[:-30], "not whole"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><sdnList/>", "entities"),
        (row(1, f"Digital Currency Address - XBT {BITCOIN};"), "end-of-file"),
        (row(1, "no address") + "\x1a", "names no"),
        ("1,2,3\r\n\x1a", "columns"),
        ("<html>Service unavailable</html>", "end-of-file"),
        ("", "end-of-file"),
    ],
)
def test_a_torn_empty_or_foreign_file_is_refused(file: Path, content: str, why: str) -> None:
    """Half a sanctions list is worse than yesterday's."""
    file.write_text(content)
    with pytest.raises(ValueError, match=why):
        read_treasury(file)


def test_the_three_formats_name_the_same_addresses(file: Path) -> None:
    """Names and uids too; a publication date where the format has one."""
    entries = ENTRY.format(uid=1, asset="XBT", address=BITCOIN)
    entries += ENTRY.format(uid=2, asset="ETH", address=ETHER)
    file.write_text(PLAIN.format(count=2, entries=entries))
    plain = read_treasury(file)
    assert [(e.asset, e.address) for e in plain.entries] == [
        ("XBT", BITCOIN),
        ("ETH", ETHER.lower()),
    ]
    assert plain.published_on == date(2026, 9, 23)
    assert plain.entries[0].listing == Listing(
        "ofac", Action.BLOCK, "sanctions", "SUEX OTC, S.R.O.", "1"
    )
    file.write_text(ADVANCED.format(address=ETHER))
    advanced = read_treasury(file)
    assert [(e.asset, e.address) for e in advanced.entries] == [("ETH", ETHER.lower())]
    assert advanced.entries[0].listing.name == "LAZARUS GROUP"
    assert advanced.published_on == date(2026, 9, 23)
    remarks = (
        f"Secondary sanctions risk; Digital Currency Address - XBT {BITCOIN}; alt. Digital "
        f"Currency Address - ETH {ETHER}; alt. Digital Currency Address - USDT {TRON}."
    )
    file.write_bytes((row(1, remarks) + row(2, "-0- ") + "\x1a\r\n").encode())
    delimited = read_treasury(file)
    assert [(e.asset, e.address) for e in delimited.entries] == [
        ("XBT", BITCOIN),
        ("ETH", ETHER.lower()),
        ("USDT", TRON),
    ]


def test_an_address_that_the_remarks_cut_off_is_reported(file: Path) -> None:
    """It is not listed by half: a shorter text would be somebody else's address or nobody's."""
    begin = f"Digital Currency Address - ETH {ETHER}; "
    cut = f"Digital Currency Address - XBT {BITCOIN[:9]}"
    remarks = begin + "x" * (1000 - len(begin) - len(cut)) + cut
    file.write_text(row(1, remarks) + "\x1a")
    found = read_treasury(file)
    assert [e.address for e in found.entries] == [ETHER.lower()]
    assert found.unreadable == ("XBT",)


def test_an_address_under_the_wrong_asset_is_listed_and_reported(file: Path) -> None:
    """The Treasury has such entries; nobody may be paid there all the same."""
    file.write_text(PLAIN.format(count=1, entries=ENTRY.format(uid=1, asset="XBT", address=TRON)))
    found = read_treasury(file)
    assert [e.address for e in found.entries] == [TRON]
    assert found.unreadable == (f"XBT {TRON}",)


@pytest.mark.parametrize("content", [b"asset,address\nETH,0x1", b"asset\nETH\n", b"address\na,b\n"])
def test_a_csv_that_is_not_whole_is_refused(content: bytes) -> None:
    """No last line end, no column, or more fields than columns."""
    with pytest.raises(ValueError, match=r"torn|address|fields"):
        read_publication("own", content)


def test_a_double_agrees_at_both_ends_and_is_another() -> None:
    """Case does not count in hex; the address itself is not its own double."""
    poisoned = ETHER[:6] + "0" * 32 + ETHER[-4:]
    known = Ends([ETHER.lower(), BITCOIN])
    assert known.resembled(poisoned.lower()) == (ETHER.lower(),)
    assert known.resembled(ETHER.lower()) == ()
    assert known.resembled(BITCOIN[:5] + "zzzz" + BITCOIN[-4:]) == (BITCOIN,)
    assert known.resembled(BITCOIN[:5] + "zzzzz") == ()


async def test_without_any_list_nobody_is_cleared(tmp_path: Path) -> None:
    """An absent list is not an empty one."""
    with pytest.raises(ScreeningUnavailable):
        await Lists([]).book()
    with pytest.raises(ScreeningUnavailable):
        await Lists([tmp_path / "gone.csv"]).book()


@pytest.mark.parametrize(
    "content",
    [
        "asset,address\n",
        f"asset,address,action\nETH,{ETHER},review\n",
        f"asset,address\nETH,{ETHER}",
        f"asset,address,action\nETH,{ETHER},block\nXBT,{BITCOIN},allow\n",
    ],
)
async def test_a_file_that_blocks_nobody_is_torn_or_allows_clears_nobody(
    file: Path, content: str
) -> None:
    """Labels and reviews alone would let everybody pass."""
    write(file, content)
    with pytest.raises(ScreeningUnavailable):
        await Lists([file]).book()


async def test_a_file_that_lost_many_vetoes_is_believed_after_a_restart_alone(file: Path) -> None:
    """It may be half of one that is being written; ten fewer are a day's delistings."""

    def text(count: int) -> str:
        return "asset,address\n" + "".join(f"ETH,0x{n:040x}\n" for n in range(count))

    write(file, text(40))
    lists = Lists([file])
    versions = (await lists.book()).versions()
    for count, kept in ((29, True), (30, False)):
        write(file, text(count))
        book = await lists.book()
        assert (book.versions() == versions) is kept
        assert bool(book.of("local", f"0x{35:040x}", AT)) is kept
    write(file, text(5))
    assert len((await lists.book()).of("local", f"0x{20:040x}", AT)) == 1
    assert (await Lists([file]).book()).of("local", f"0x{20:040x}", AT) == ()


def test_listings_count_within_their_dates_and_for_their_tenant() -> None:
    """Before, within and after; one tenant's own entries are nobody else's."""
    day = timedelta(days=1)
    block = Listing("own_block", Action.BLOCK)
    entries = (Entry(ETHER.lower(), "ETH", block, AT, AT + day, "ten_a"),)
    book = ListBook(AddressLists((), {}), StoredLists(1, (), entries))
    found = [bool(book.of("base", ETHER, at, "ten_a")) for at in (AT - day, AT, AT + day)]
    assert found == [False, True, False]
    assert book.of("base", ETHER, AT, "ten_b") == ()


def test_a_veto_counts_before_all_and_an_allowance_before_a_review() -> None:
    """Nobody's own list lifts a sanction."""
    block, allow = Listing("ofac", Action.BLOCK), Listing("own_allow", Action.ALLOW)
    review, label = Listing("x", Action.REVIEW), Listing("names", Action.LABEL, "exchange")
    assert judge([allow, review, block, label], ())[0] is Outcome.BLOCK
    assert judge([allow, review, label], ())[0] is Outcome.CLEAR
    assert judge([review, label], ())[0] is Outcome.REVIEW
    assert judge([label], ())[0] is Outcome.CLEAR


def test_stored_entity_labels_make_the_rules_categories() -> None:
    """Several words joined by bars, as label files publish them; each may count."""
    policy = load_policy()
    label = Listing("names", Action.LABEL, "tornado-cash|contract", "Tornado")
    book = ListBook(AddressLists((), {}), StoredLists(1, (), (Entry(ETHER.lower(), "ETH", label),)))
    found = Labels({}, {}).with_listed(book.labelled(), policy)
    [mixer] = [c.number for c in policy.categories if c.name == "mixer"]
    assert found.kinds == {ETHER.lower(): mixer}
