"""From the cells of a notebook to plain Python, and to what is known of them.

=============== ======================================================================
`transforming`  magics, shell lines, ``%%time`` and the like become Python, as in IPython
`reading`       the cells of a notebook file, numbered as Jupyter does; their analysis
=============== ======================================================================
"""

from nbflow.definition.cell_text.reading import analyze_notebook, cell_texts
from nbflow.definition.cell_text.transforming import PlainText, plain_python

__all__ = ["PlainText", "analyze_notebook", "cell_texts", "plain_python"]
