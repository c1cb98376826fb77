"""The Treasury's own files of its Specially Designated Nationals list, as they are published.

Three formats carry the same parties (https://ofac.treasury.gov/sanctions-list-service):

- ``SDN.XML``: ``sdnEntry`` with ``idList/id/idType`` = ``Digital Currency Address - XBT`` and the
  address in ``idNumber``; ``publshInformation`` (so spelt) counts the records.
- ``SDN_ADVANCED.XML``: features whose type is named once in ``FeatureTypeValues``, the address in
  ``VersionDetail``. A hundred megabytes, so it is read as a stream.
- ``SDN.CSV``: twelve columns without a header, addresses within the remarks, ``-0-`` for nothing.
  Remarks are cut at 1,000 characters, which cuts addresses off: prefer the XML.

A file that is torn, empty or another list's is refused; half a sanctions list is worse than
yesterday's.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, iterparse

from compliance_graph.lists.addresses import checked_form, normal_form
from settlement.errors import InvalidAddress
from settlement.ports.lists import Action, Entry, Listing, Publication

_KIND = "Digital Currency Address"
_IN_REMARKS = re.compile(r"Digital Currency Address - (?:([A-Z0-9]{2,10})(?:\s+([A-Za-z0-9]+))?)?")
_REMARKS_MAX = 1000
_COLUMNS = 12
_END = b"\x1a"
"""The delimited files end with this byte, a habit of DOS that tells that nothing is missing."""

_Found = tuple[str, str, str, str]
"""Asset, address, name of the party, its uid."""


def read_treasury(path: Path, source: str = "ofac") -> Publication:
    """Read any of the three formats, told apart by their first bytes.

    Raises :class:`ValueError` with what is wrong with the file.
    """
    with path.open("rb") as stream:
        head = stream.read(4096)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
            raise ValueError("the Treasury's files define no entities; this one does")
        if b"<sdnList" in head:
            return _publication("SDN.XML", source, digest, *_plain_xml(stream))
        if b"<Sanctions" in head:
            return _publication("SDN_ADVANCED.XML", source, digest, *_advanced_xml(stream))
        return _publication("SDN.CSV", source, digest, *_delimited(stream.read()))


def _publication(
    kind: str, source: str, digest: str, published_on: date | None, found: list[_Found]
) -> Publication:
    entries, unreadable = {}, []
    for asset, text, name, uid in found:
        listing = Listing(source, Action.BLOCK, "sanctions", name, uid)
        try:
            address = checked_form(asset, text)
        except InvalidAddress:
            unreadable.append(f"{asset} {text}".strip())
            if not text:
                continue
            # Named all the same: what it means to the Treasury is blocked if anybody pays there.
            address = normal_form(text)
        entries[address, asset] = Entry(address, asset, listing)
    if not entries:
        raise ValueError(f"{kind} names no digital currency address")
    return Publication(kind, digest, tuple(entries.values()), published_on, tuple(unreadable))


def _elements(stream: BinaryIO) -> Iterator[tuple[str, Element]]:
    """(local name, element) at each end tag. Raises :class:`ValueError` for broken XML."""
    try:
        for _, element in iterparse(stream):
            yield element.tag.rpartition("}")[2], element
    except ParseError as error:
        raise ValueError(f"not whole: {error}") from error


def _plain_xml(stream: BinaryIO) -> tuple[date | None, list[_Found]]:
    published, announced, records, found = None, None, 0, []
    for tag, element in _elements(stream):
        if tag == "Publish_Date":
            published = datetime.strptime(_text(element), "%m/%d/%Y").date()
        elif tag == "Record_Count":
            announced = int(_text(element))
        elif tag == "sdnEntry":
            records += 1
            found += _of_entry(element)
            element.clear()
    if announced is None:
        raise ValueError("no Record_Count: not a publication of the Treasury")
    if announced != records:
        raise ValueError(f"{records} records where {announced} are announced: the file is torn")
    return published, found


def _of_entry(entry: Element) -> list[_Found]:
    facts = {child.tag.rpartition("}")[2]: child for child in entry}
    names = [_text(facts[part]) for part in ("firstName", "lastName") if part in facts]
    uid = _text(facts["uid"]) if "uid" in facts else ""
    found = []
    for identity in facts.get("idList", ()):
        parts = {part.tag.rpartition("}")[2]: _text(part) for part in identity}
        kind, _, asset = parts.get("idType", "").partition(" - ")
        if kind.strip() == _KIND:
            address = parts.get("idNumber", "")
            found.append((asset.strip(), address, " ".join(names), uid))
    return found


def _advanced_xml(stream: BinaryIO) -> tuple[date | None, list[_Found]]:
    kinds: dict[str, str] = {}
    issued: dict[str, int] = {}
    found: list[_Found] = []
    for tag, element in _elements(stream):
        if tag == "FeatureType":
            kind, _, asset = _text(element).partition(" - ")
            if kind.strip() == _KIND:
                kinds[element.get("ID", "")] = asset.strip()
        elif tag == "DateOfIssue":
            issued = {part.tag.rpartition("}")[2]: int(_text(part)) for part in element}
        elif tag == "DistinctParty":
            found += _of_party(element, kinds)
            element.clear()
    if not kinds:
        raise ValueError("no type of a digital currency address: not a publication of the Treasury")
    day = date(issued["Year"], issued["Month"], issued["Day"]) if len(issued) == 3 else None
    return day, found


def _of_party(party: Element, kinds: dict[str, str]) -> list[_Found]:
    names = [_text(e) for e in party.iter() if e.tag.endswith("}NamePartValue")]
    found = []
    for feature in party.iter():
        asset = kinds.get(feature.get("FeatureTypeID", ""))
        if asset is not None and feature.tag.rpartition("}")[2] == "Feature":
            details = [_text(e) for e in feature.iter() if e.tag.endswith("VersionDetail")]
            address = next((text for text in details if text), "")
            found.append((asset, address, " ".join(names[:4]), party.get("FixedRef", "")))
    return found


def _delimited(content: bytes) -> tuple[date | None, list[_Found]]:
    if not content.rstrip().endswith(_END):
        raise ValueError("no end-of-file mark: not SDN.CSV, or torn")
    found: list[_Found] = []
    text = content.rstrip().removesuffix(_END).decode("utf-8")
    for row in csv.reader(io.StringIO(text, newline="")):
        if not row:
            continue
        if len(row) != _COLUMNS:
            raise ValueError(f"a row of {len(row)} columns where {_COLUMNS} belong")
        uid, name, remarks = row[0].strip(), row[1].strip(), row[-1]
        for match in _IN_REMARKS.finditer(remarks):
            cut = match.end() >= min(len(remarks), _REMARKS_MAX) and len(remarks) >= _REMARKS_MAX
            address = "" if cut else match.group(2) or ""
            found.append((match.group(1) or "", address, name, uid))
    return None, found


def _text(element: Element) -> str:
    return (element.text or "").strip()
