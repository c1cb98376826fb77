"""Screening: may this wallet be paid? Today by lists; the graph comes behind the same door."""
