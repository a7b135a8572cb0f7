"""Check and evaluate event filters: expressions in CEL over the fields of a body.

The library of the expressions is imported when the first one is compiled, and by nobody who has none.
"""

from workers.filters.checking import checked
from workers.filters.expression import Filter, FilterError
from workers.filters.samples import sample

__all__ = ["Filter", "FilterError", "checked", "sample"]
