import ast

import pytest

from nbflow.definition.identity.cells import scan_cell
from nbflow.definition.identity.scanning import scanned


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("import a, b.c as d", ["a", "b.c"]),
        ("from a.b import c", ["a.b:c"]),
        ("def f():\n    import a\n    class C:\n        from b import c", ["a", "b:c"]),
        ("importlib.import_module('a.b')\n__import__('c')", ["a.b", "c"]),
        ("try:\n    import a\nexcept ImportError:\n    import b", ["a?", "b"]),
        ("try:\n    import a\nexcept OSError:\n    pass", ["a"]),
        ("import a; import b  # import c", ["a", "b"]),
        ("text = '''\nimport a\n'''", []),
        ("%matplotlib inline\nimport a", ["a"]),
        ("files = !ls\nimport a\nfiles?", ["a"]),
        ("%time import a", ["a"]),
        ("%%time\nimport a", ["a"]),
        ("%%capture out\n%cd ..\nimport a", ["a"]),
        ("%%bash\nimport a", []),
        ("%%html\n<b>import a</b>", []),
        ("%%somebodys thing\nimport a", ["a"]),
        ("if x:\n    !pip install y\nelse:\n    import a", ["a"]),
        ("!one \\\n  import b\nimport a", ["a"]),
        ("await f()\nimport a", ["a"]),
        ("%load_ext autoreload\n%autoreload 2\nimport a", ["a", "autoreload?"]),
        ("%run -m a.b arg", ["a.b:__main__"]),
        ("import a\nfor", ["a?"]),
    ],
)
def test_imports_of_a_cell(source, modules):
    found = [
        it.module + "".join(f":{name}" for name in it.names) + "?" * it.optional
        for it in scan_cell(source).imports
    ]
    assert sorted(found) == sorted(modules)


@pytest.mark.parametrize(
    ("source", "scripts"),
    [
        ("%run helper.py", ["helper.py"]),
        ("%run -i 'my helper.py' --fast", ["my helper.py"]),
        ("%run ./other.ipynb", ["./other.ipynb"]),
        ("import runpy\nrunpy.run_path('a.py')", ["a.py"]),
        ("!python tools/make.py --out x.csv", ["tools/make.py?"]),
        ("%%bash\nbash go.sh; cat data.csv", ["go.sh?"]),
        ("print('a.py')", []),
    ],
)
def test_scripts_of_a_cell(source, scripts):
    found = [it.path + "?" * it.optional for it in scan_cell(source).scripts]
    assert found == scripts


@pytest.mark.parametrize(
    ("source", "folders"),
    [
        ("sys.path.append('..')", [".."]),
        ("sys.path.insert(0, '../lib')", ["../lib"]),
        ("sys.path += ['a', 'b']", ["a", "b"]),
        ("sys.path = ['a'] + sys.path", ["a"]),
        ("sys.path[:0] = ['a']", ["a"]),
        ("sys.path.extend(['a', 'b'])", ["a", "b"]),
        ("sys.path.append(os.path.abspath('..'))", [".."]),
        ("sys.path.append(os.path.join('..', 'lib'))", ["../lib"]),
        ("sys.path.append(str(Path.cwd().parent / 'lib'))", ["./../lib"]),
        ("sys.path.append(str(Path('..').resolve().parents[1]))", ["../../.."]),
        ("sys.path.append(os.path.dirname(os.getcwd()))", ["./.."]),
        ("sys.path.append(str(Path('a').joinpath('b')))", ["a/b"]),
        ("os.chdir('a')", ["a"]),
        ("%cd a", ["a"]),
        ("other.path.append('..')", []),
    ],
)
def test_folders_of_a_cell(source, folders):
    scan = scan_cell(source)
    assert list(scan.folders) == folders
    assert scan.unseen == ()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\nimportlib.import_module(name)", "imports a module whose name only shows"),
        ("x = 1\n__import__(f'{a}')", "imports a module whose name only shows"),
        ("x = 1\nexec(open('helper.py').read())", "runs code by exec(open('helper.py').read())"),
        ("x = 1\nrunpy.run_path(path)", "runs a file whose path only shows"),
        ("x = 1\nsys.path.append(root)", "looks for modules in root, which only shows"),
        ("x = 1\nsys.path.append(os.path.join(root, 'a'))", "looks for modules in os.path.join"),
        ("x = 1\n%run {path}", "runs {path} by %run"),
        ("x = 1\n%cd $folder", "goes to the folder $folder by %cd"),
        ("%%time\nexec(text)", "runs code by exec(text)"),
    ],
)
def test_what_only_shows_when_it_runs(source, words):
    (unseen,) = scan_cell(source).unseen
    assert words in unseen.what
    assert unseen.fix
    assert unseen.line == 2


def test_a_cell_that_is_no_python_is_said_to_be_unseen():
    (unseen,) = scan_cell("import a\nfor").unseen
    assert "cannot be read as Python" in unseen.what


def test_a_module_may_look_beside_itself():
    tree = ast.parse("sys.path.append(os.path.join(os.path.dirname(__file__), 'lib'))")
    assert scanned(tree, "/project/tool.py").folders == ("/project/lib",)


def test_what_a_cell_writes_is_known():
    scan = scan_cell("%%writefile helper.py\nimport a")
    assert scan.written == ("helper.py",)
    assert [it.module for it in scan.imports] == ["a"]
