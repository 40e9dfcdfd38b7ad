"""Headers of converters that write something into a section that no image needs which the schema does not allow."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from seqopt.errors import SeqoptError
from seqopt.mrd.xml_header import parse_header

_NEEDED = ("encoding", "userParameters")
_FREQUENCY = "experimentalConditions"


def read_header(xml: bytes, notes: list[str]) -> Any:
    """``ismrmrd.xsd.ismrmrdHeader``, without the sections that are not schema-valid, of which notes tell.

    So do a TR of "ETH" (Philips), dates without dashes or a frequency with a fraction (GE) stop no reconstruction.
    Raises `SeqoptError` where what is wrong is the encoding or a user parameter.
    """
    try:
        return parse_header(xml)
    except SeqoptError as error:
        whole, refused = _tree(xml), error
    if whole is None:
        raise refused
    dropped = [one for one in whole if _name(one) not in _NEEDED and not _valid(whole, one)]
    for section in dropped:
        whole.remove(section)
    whole.extend(_stand_in(section) for section in dropped if _name(section) == _FREQUENCY)
    try:
        header = parse_header(ElementTree.tostring(whole))
    except SeqoptError:
        raise refused from None
    notes += [f"the header's {_name(section)} is not schema-valid and was left out" for section in dropped]
    return header


def _tree(xml: bytes) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError, LookupError):  # the latter for an encoding that is not known
        return None


def _valid(whole: ElementTree.Element, section: ElementTree.Element) -> bool:
    """Whether a header of the encoding and this section alone can be parsed."""
    alone = ElementTree.Element(whole.tag)
    alone.extend(one for one in whole if _name(one) == "encoding")
    if _name(section) != _FREQUENCY:
        alone.append(_stand_in(section))
    alone.append(section)
    try:
        parse_header(ElementTree.tostring(alone))
    except SeqoptError:
        return False
    return True


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _stand_in(section: ElementTree.Element) -> ElementTree.Element:
    """The one section besides the encoding that the schema demands, in the namespace of ``section``."""
    namespace = section.tag.rpartition("}")[0] + "}" if "}" in section.tag else ""
    conditions = ElementTree.Element(namespace + _FREQUENCY)
    ElementTree.SubElement(conditions, namespace + "H1resonanceFrequency_Hz").text = "0"
    return conditions
