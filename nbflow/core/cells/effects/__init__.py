"""The tables of effects: what calls into known libraries do, as data.

========== ===========================================
`python`   built-in functions and types
`standard` the standard library
`arrays`   numpy, scipy, scikit-learn, numexpr
`tables`   pandas
`plots`    matplotlib, seaborn, IPython's display
`magics`   IPython's magics
========== ===========================================

`language` has the words that they are written in. To teach nbflow a library is to add a table.
Where a table errs, two cells may run in the wrong order: what is not surely harmless is not listed.
"""

from nbflow.core.cells.effects.language import SCALAR, SELF, Effect, Touch
from nbflow.core.cells.effects.lookup import (
    attribute_type,
    function_effect,
    is_known_module,
    method_effects,
    module_object,
    out_keywords,
    type_named,
)

__all__ = [
    "SCALAR",
    "SELF",
    "Effect",
    "Touch",
    "attribute_type",
    "function_effect",
    "is_known_module",
    "method_effects",
    "module_object",
    "out_keywords",
    "type_named",
]
