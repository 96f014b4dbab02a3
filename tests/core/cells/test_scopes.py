import argparse
import ast
import collections
import dataclasses
import inspect
import symtable
import textwrap
import typing

import pytest

from nbflow.core.cells.scopes import scope_of


def _tables(table):
    for child in table.get_children():
        yield child
        yield from _tables(child)


def _by_symtable(source):
    found = collections.Counter()
    for table in _tables(symtable.symtable(source, "<test>", "exec")):
        if table.get_type() == "function" and table.get_name() not in _COMPREHENSIONS:
            names = (each.get_name() for each in table.get_symbols() if each.is_local())
            found[table.get_name(), frozenset(each for each in names if "__" not in each)] += 1
    return found


_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def _by_scope(source):
    found = collections.Counter()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            name = getattr(node, "name", "lambda")
            found[name, frozenset(each for each in scope_of(node).own if "__" not in each)] += 1
    return found


@pytest.mark.parametrize("module", [argparse, ast, collections, dataclasses, textwrap, typing])
def test_functions_have_the_names_that_python_gives_them(module):
    source = inspect.getsource(module)
    assert _by_scope(source) == _by_symtable(source)


def test_every_way_to_bind_a_name():
    (function,) = ast.parse(
        """
def f(a, /, b, *c, d, **e):
    global x
    nonlocal y
    x = y = 1
    import g.h, i as j
    from k import l
    for m, (n, *o) in []: pass
    with p as q: pass
    try: pass
    except E as r: pass
    match s:
        case [t, *u] | {"a": t, **u}: pass
    [(v := w) for w in []]
    del z
    def aa(): bb = 1
    class cc: dd = 1
    lambda ee: (ff := 1)
    gg: int
    hh += 1
"""
    ).body
    scope = scope_of(function)
    wanted = set("abcdegjlmnoqrtuvz") | {"aa", "cc", "gg", "hh"}
    assert scope.own == wanted
    assert scope.declared_global == {"x"}
    assert scope.declared_nonlocal == {"y"}
    assert not scope.yields
