"""Check and evaluate event filters: CEL expressions over the fields of a body.

The CEL library is slow to import, so it is imported only when a filter is compiled.
"""

from workers.filters.checking import check_filter, sample
from workers.filters.expression import Filter, FilterError
