import pytest

from nbflow.notebooks.imports import imported_modules


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import numpy", ["numpy"]),
        ("import numpy as np, pandas  # both", ["numpy", "pandas"]),
        ("import matplotlib.pyplot as plt", ["matplotlib.pyplot"]),
        ("from sklearn.linear_model import (\n    Ridge,\n    Lasso,\n)", ["sklearn.linear_model"]),
        ("from numpy import *; import scipy.stats; x = 1", ["numpy", "scipy.stats"]),
        ("import numpy, \\\n    pandas as pd", ["numpy", "pandas"]),
        ("from  scipy  import stats", ["scipy"]),
        ("from.sibling import x\nfrom . import y\nfrom .. import z", []),
        ("importlib.reload(x)\nimported = 1\nfrom_ = 2", []),
        ("def late():\n    import numpy\n", []),
        ("# import numpy", []),
        ("text = 'import numpy'", []),
        ("import 5, numpy from 'x'", []),
        ("", []),
        ("import", []),
    ],
)
def test_imports_at_the_margin_are_found(source, modules):
    assert list(imported_modules(source)) == modules


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nimport numpy\n!ls",
        "%%time\nimport numpy",
        "%%capture out\nimport numpy",
        "files = !ls\nimport numpy\nnumpy?",
        "x = (\nimport numpy\nbroken",
        "for\nimport numpy",
        "import numpy\nre.compile('\\d')\nawait x",
        "print 'old'\nimport numpy",
    ],
)
def test_magics_and_broken_code_do_not_hide_an_import(source, recwarn):
    assert list(imported_modules(source)) == ["numpy"]
    assert list(recwarn) == []


@pytest.mark.parametrize("source", ["%%bash\nimport x", "%%writefile a.py\nimport numpy", "%%"])
def test_cells_of_other_languages_import_nothing(source):
    assert list(imported_modules(source)) == []
