"""Local differential privacy: randomisers for the client, estimators for the reader.

The place is kept; nothing is built yet. What goes here: numeric and categorical randomisers that an agent
developer applies before a record leaves the process, and the estimators that read their sums. Imports numpy
and nothing else.
"""
