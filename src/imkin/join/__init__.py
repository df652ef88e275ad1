"""Joins: pairs of fingerprints that are alike, exact unless a name says otherwise."""
