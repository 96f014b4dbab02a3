"""What Python's built-in functions and types do."""

from nbflow.core.cells.effects.language import (
    PURE,
    SCALAR,
    SELF,
    Effect,
    Library,
    Touch,
    Type,
    table,
)

_ITERATES = Effect(returns=SCALAR, iterates=True)
_ONE_OF = Effect(result="element", iterates=True)
_ITERATOR = Effect(returns="iterator", result="iterator", iterates=True)
_ANY_FILE = Touch("file", "")
_BY_NAME = "it reads or changes variables by name at run time"

BUILTINS = Library(
    module="builtins",
    functions=table(
        (
            PURE,
            (
                "ascii bin bool bytes callable chr complex float format hash hex id int "
                "isinstance issubclass len oct ord print range repr slice str "
                "object Ellipsis NotImplemented hasattr display"
            ),
        ),
        # Of arrays, these give arrays.
        (Effect(), "abs pow divmod round"),
        (
            Effect(result="holder"),
            (
                "BaseException Exception ValueError TypeError KeyError IndexError RuntimeError "
                "StopIteration NotImplementedError AttributeError ImportError OSError "
                "FileNotFoundError ZeroDivisionError AssertionError ArithmeticError LookupError "
                "NameError KeyboardInterrupt UserWarning DeprecationWarning FutureWarning "
                "RuntimeWarning Warning"
            ),
        ),
        (_ITERATES, "any all"),
        (Effect(result="total", iterates=True), "sum"),
        (_ONE_OF, "max min"),
        (Effect(returns="list", result="elements", iterates=True), "list sorted"),
        (Effect(returns="dict", result="elements", iterates=True), "dict"),
        (Effect(returns="set", result="elements", iterates=True), "set frozenset"),
        (Effect(returns="tuple", result="elements", iterates=True), "tuple"),
        (Effect(returns="list"), "bytearray"),
        (_ITERATOR, "iter zip map filter enumerate reversed aiter"),
        (Effect(result="element", mutates=(0,)), "next anext"),
        (Effect(result="view"), "memoryview getattr type super property staticmethod classmethod"),
        (Effect(mutates=(0,), stores=True, returns=SCALAR), "setattr delattr"),
        (
            Effect(
                returns="file",
                reads=(0, "file"),
                mode=(1, "mode"),
                pinned="it is an open file",
            ),
            "open",
        ),
        (Effect(barrier="it asks for input", returns=SCALAR), "input breakpoint"),
        (Effect(barrier=_BY_NAME, namespace=True), "exec eval compile globals locals vars dir"),
        (Effect(barrier="it imports by name at run time", namespace=True), "__import__"),
        (Effect(barrier="it ends the kernel"), "exit quit"),
    ),
    out=("file",),
)

_HOLDS = Effect(returns=SCALAR, mutates=(SELF,), stores=True)
_CHANGES = Effect(returns=SCALAR, mutates=(SELF,))
_EXTENDS = Effect(returns=SCALAR, mutates=(SELF,), stores=True, iterates=True)
_TAKES = Effect(result="element", mutates=(SELF,))

LIST = Type(
    name="list",
    methods=table(
        (_HOLDS, "append insert appendleft"),
        (_EXTENDS, "extend extendleft"),
        (_TAKES, "pop popleft"),
        (_CHANGES, "remove clear sort reverse rotate"),
        (PURE, "count index"),
        (Effect(returns="list", result="elements"), "copy __copy__"),
    ),
    attributes={"maxlen": SCALAR},
)
DICT = Type(
    name="dict",
    methods=table(
        (_EXTENDS, "update subtract"),
        (Effect(result="element", mutates=(SELF,), stores=True), "setdefault"),
        (_TAKES, "pop popitem"),
        (_CHANGES, "clear move_to_end"),
        (Effect(result="element"), "get"),
        (Effect(result="view"), "items keys values"),
        (Effect(returns="dict", result="elements"), "copy fromkeys"),
        (Effect(returns="list", result="elements"), "most_common elements"),
        (PURE, "total"),
    ),
)
SET = Type(
    name="set",
    methods=table(
        (_HOLDS, "add"),
        (
            _EXTENDS,
            "update intersection_update difference_update symmetric_difference_update",
        ),
        (_TAKES, "pop"),
        (_CHANGES, "discard remove clear"),
        (
            Effect(returns="set", result="elements", iterates=True),
            "union intersection difference symmetric_difference copy",
        ),
        (_ITERATES, "issubset issuperset isdisjoint"),
    ),
)
TUPLE = Type(name="tuple", methods=table((PURE, "count index")))
TEXT = Type(
    name=SCALAR,
    methods=table(
        (
            Effect(returns="list"),
            "split rsplit splitlines partition rpartition findall groupdict groups",
        ),
        (Effect(returns="iterator"), "finditer"),
        (Effect(), "maketrans"),
        (_ITERATES, "join writerow"),
        (Effect(returns=SCALAR, touches=(Touch("world", "the clock"),)), "now today utcnow"),
    ),
    default=PURE,
)
ITERATOR = Type(
    name="iterator",
    methods=table((Effect(result="element", mutates=(SELF,)), "__next__ send throw close")),
    consumed=True,
    pinned="an iterator stays where it is",
)
_WRITES_ON = Effect(returns=SCALAR, mutates=(SELF,), iterates=True)
FILE = Type(
    name="file",
    methods=table(
        (
            _WRITES_ON,
            (
                "write writelines writerow writerows writeheader read readline seek truncate flush "
                "close commit rollback execute executemany executescript fetchone fetchall "
                "fetchmany "
                "cursor getvalue tell readable writable fileno"
            ),
        ),
        (Effect(returns="list", mutates=(SELF,)), "readlines"),
    ),
    consumed=True,
    pinned="an open file or connection stays where it is",
)

#: What the names mean that IPython defines.
IPYTHON_NAMES = frozenset(
    {"In", "Out", "_", "__", "___", "_i", "_ii", "_iii", "_ih", "_oh", "_dh", "_exit_code"}
)

TYPES = (LIST, DICT, SET, TUPLE, TEXT, ITERATOR, FILE)
