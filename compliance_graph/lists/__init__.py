"""Address lists: a veto before any score, versioned, in one normal form per chain."""

from compliance_graph.lists.addresses import normal_form
from compliance_graph.lists.book import ListBook, Lists
from compliance_graph.lists.files import AddressLists, read_lists

__all__ = ["AddressLists", "ListBook", "Lists", "normal_form", "read_lists"]
