"""What the standard library's modules do, as far as notebooks use them."""

from nbflow.core.cells.effects.language import (
    FRESH,
    PURE,
    SCALAR,
    SELF,
    Effect,
    Library,
    Touch,
    Type,
    draws,
    reads_file,
    sets,
    table,
    writes_file,
)

_CLOCK = Effect(returns=SCALAR, touches=(Touch("world", "the clock"),))
_NETWORK = Effect(touches=(Touch("world", "the network"),))
_CHANCE = Effect(returns=SCALAR, touches=(Touch("world", "the system's chance"),))
PYTHON = "Python's random generator"
#: Whoever has a frame, or all objects there are, has every variable.
_FRAMES = Effect(barrier="it reaches variables by other ways than their names", namespace=True)
_PROGRAM = Effect(barrier="it runs another program", pinned="it is a process")
_ITERATOR = Effect(returns="iterator", result="iterator", iterates=True)
_CONTAINER = Effect(result="elements", iterates=True)
_FOLDER = reads_file(0, "path", returns="list")
_LEFT = Effect(background=True, barrier="it starts work in the background")
#: Of modules that turn values into a text or bytes, and back.
_CODEC = table(
    (Effect(mutates=(0, "fp", "file")), "load"),
    (FRESH, "loads"),
    (Effect(returns=SCALAR, mutates=(1, "fp", "file")), "dump"),
    (PURE, "dumps"),
)
_ROWS = Effect(
    returns="iterator", result="iterator", mutates=(0,), iterates=True, pinned="it reads a file"
)

_PATHS = Type(
    name="Path",
    methods=table(
        (reads_file(SELF, returns=SCALAR), "read_text read_bytes exists is_file is_dir stat"),
        (reads_file(SELF, returns="iterator"), "glob rglob iterdir"),
        (writes_file(SELF), "write_text write_bytes mkdir unlink touch rmdir chmod symlink_to"),
        (Effect(returns=SCALAR, writes=(SELF, 0)), "rename replace"),
        (
            Effect(returns="file", reads=(SELF,), mode=(0, "mode"), pinned="it is an open file"),
            "open",
        ),
        (Effect(returns="Path"), "resolve absolute with_suffix with_name joinpath expanduser"),
        (
            Effect(returns="Path", touches=(Touch("setting", "working directory", write=False),)),
            "cwd",
        ),
    ),
    default=PURE,
    attributes={"parent": "Path"},
)

STANDARD = (
    Library(
        module="random",
        functions=table(
            (
                Effect(touches=(Touch("random", PYTHON, fresh=True),), returns=SCALAR),
                "seed setstate",
            ),
            (
                draws(PYTHON),
                (
                    "random randint randrange uniform gauss normalvariate expovariate betavariate "
                    "getrandbits triangular lognormvariate vonmisesvariate "
                    "gammavariate paretovariate "
                    "weibullvariate randbytes binomialvariate getstate"
                ),
            ),
            (
                Effect(result="element", touches=(Touch("random", PYTHON),), iterates=True),
                "choice",
            ),
            (
                Effect(
                    returns="list",
                    result="elements",
                    touches=(Touch("random", PYTHON),),
                    iterates=True,
                ),
                "sample choices",
            ),
            (Effect(returns=SCALAR, mutates=(0,), touches=(Touch("random", PYTHON),)), "shuffle"),
            (Effect(returns="Generator"), "Random"),
            (_CHANCE, "SystemRandom"),
        ),
    ),
    Library(module="math", default=Effect(returns=SCALAR, iterates=True)),
    Library(module="cmath", default=PURE),
    Library(module="statistics", default=Effect(iterates=True)),
    Library(
        module="decimal",
        functions=table((sets("decimal context"), "setcontext getcontext")),
        default=PURE,
    ),
    Library(module="fractions", default=PURE),
    Library(module="numbers", default=PURE),
    Library(module="string", default=PURE),
    Library(module="textwrap", default=FRESH),
    Library(module="unicodedata", default=PURE),
    Library(module="platform", default=PURE),
    Library(module="hashlib", default=FRESH),
    Library(module="base64", default=PURE),
    Library(module="typing", default=PURE),
    Library(module="typing_extensions", default=PURE),
    Library(module="collections.abc", default=PURE),
    Library(module="abc", default=PURE),
    Library(module="enum", default=PURE),
    Library(module="__future__", default=PURE),
    Library(
        module="re",
        functions=table(
            (Effect(returns="list"), "findall split"),
            (Effect(returns="iterator"), "finditer"),
        ),
        default=PURE,
    ),
    Library(
        module="itertools",
        functions=table((Effect(returns="list", result="iterator", iterates=True), "tee")),
        default=_ITERATOR,
    ),
    Library(
        module="functools",
        functions=table(
            (
                Effect(result="view"),
                "lru_cache cache wraps singledispatch total_ordering cached_property",
            ),
            (Effect(result="holder"), "partial partialmethod cmp_to_key"),
            (Effect(result="element", iterates=True), "reduce"),
        ),
    ),
    Library(
        module="operator",
        functions=table((Effect(mutates=(0,), stores=True), "setitem delitem iadd ior imul isub")),
        default=Effect(result="view"),
    ),
    Library(
        module="collections",
        functions=table(
            (Effect(returns="dict", result="elements", iterates=True), "Counter OrderedDict"),
            (Effect(returns="dict", result="view"), "ChainMap"),
            (Effect(returns="dict", result="holder", grows=True), "defaultdict"),
            (Effect(returns="list", result="elements", iterates=True), "deque"),
            (PURE, "namedtuple"),
        ),
    ),
    Library(
        module="contextlib",
        functions=table(
            (FRESH, "suppress"),
            (Effect(result="holder", mutates=(0,)), "redirect_stdout redirect_stderr closing"),
            (Effect(result="holder"), "nullcontext ExitStack"),
            (Effect(result="view"), "contextmanager asynccontextmanager"),
        ),
    ),
    Library(
        module="copy",
        functions=table(
            (_CONTAINER, "copy"),
            (Effect(result="fresh"), "deepcopy"),
        ),
    ),
    Library(
        module="heapq",
        functions=table(
            (Effect(returns=SCALAR, mutates=(0,)), "heapify"),
            (
                Effect(result="element", mutates=(0,), stores=True),
                "heappush heappushpop heapreplace",
            ),
            (Effect(result="element", mutates=(0,)), "heappop"),
            (Effect(returns="list", result="elements", iterates=True), "nlargest nsmallest"),
            (_ITERATOR, "merge"),
        ),
    ),
    Library(
        module="bisect",
        functions=table(
            (Effect(returns=SCALAR, mutates=(0,), stores=True), "insort insort_left insort_right"),
            (PURE, "bisect bisect_left bisect_right"),
        ),
    ),
    Library(
        module="dataclasses",
        functions=table(
            (Effect(result="view"), "dataclass"),
            (Effect(result="elements"), "asdict astuple replace fields"),
            (Effect(result="holder"), "field"),
        ),
    ),
    Library(
        module="datetime",
        functions=table(
            (
                _CLOCK,
                "datetime.now datetime.today datetime.utcnow date.today",
            ),
        ),
        default=PURE,
    ),
    Library(
        module="time",
        functions=table(
            (PURE, "strftime strptime mktime sleep"),
            (Effect(returns=SCALAR, touches=(Touch("setting", "time zone"),)), "tzset"),
        ),
        default=_CLOCK,
    ),
    Library(module="uuid", functions=table((PURE, "UUID uuid3 uuid5")), default=_CHANCE),
    Library(module="secrets", default=_CHANCE),
    Library(module="calendar", functions=table((sets("locale"), "setfirstweekday")), default=FRESH),
    Library(module="pprint", default=PURE),
    Library(module="timeit", functions=table((_CLOCK, "default_timer"))),
    Library(
        module="sys",
        functions=table(
            (PURE, "getsizeof getrecursionlimit exc_info intern getrefcount"),
            (sets("recursion limit"), "setrecursionlimit"),
            (Effect(barrier="it ends the cell"), "exit"),
            (_FRAMES, "_getframe _current_frames"),
        ),
        objects={
            "path": "setting:sys.path",
            "modules": "setting:sys.modules",
            "argv": "setting:sys.argv",
            "version": SCALAR,
            "version_info": SCALAR,
            "executable": SCALAR,
            "platform": SCALAR,
            "maxsize": SCALAR,
            "stdout": SCALAR,
            "stderr": SCALAR,
            "float_info": SCALAR,
        },
    ),
    Library(
        module="warnings",
        functions=table(
            (sets("warnings"), "filterwarnings simplefilter resetwarnings"),
            (Effect(returns="settings"), "catch_warnings"),
            (PURE, "warn"),
        ),
    ),
    Library(
        module="logging",
        functions=table((PURE, "debug info warning error critical exception log")),
        default=sets("logging", returns="setting:logging"),
    ),
    Library(
        module="locale",
        functions=table((PURE, "getlocale format_string currency")),
        default=sets("locale"),
    ),
    Library(
        module="gc",
        functions=table(
            (PURE, "collect isenabled"),
            (sets("garbage collection"), "enable disable freeze unfreeze set_threshold"),
            (_FRAMES, "get_objects get_referrers get_referents"),
        ),
    ),
    Library(
        module="inspect",
        functions=table((_FRAMES, "currentframe stack trace getouterframes")),
        default=Effect(returns=SCALAR),
    ),
    Library(
        module="importlib",
        functions=table(
            (
                Effect(barrier="it imports by name at run time", namespace=True, kernel=True),
                "import_module reload",
            ),
        ),
    ),
    Library(
        module="os",
        functions=table(
            (PURE, "getpid cpu_count uname fspath getuid getppid"),
            (
                Effect(
                    returns=SCALAR, touches=(Touch("setting", "working directory", write=False),)
                ),
                "getcwd",
            ),
            (Effect(returns=SCALAR, touches=(Touch("setting", "environ", write=False),)), "getenv"),
            (sets("environ"), "putenv unsetenv"),
            (sets("working directory"), "chdir fchdir"),
            (_FOLDER, "listdir scandir"),
            (reads_file(0, "top", returns="iterator"), "walk"),
            (reads_file(0, "path", returns=SCALAR), "stat access lstat readlink"),
            (
                writes_file(0, "path"),
                "mkdir makedirs remove unlink rmdir removedirs chmod utime truncate",
            ),
            (
                Effect(returns=SCALAR, writes=(0, "src", 1, "dst")),
                "rename replace renames link symlink",
            ),
            (_PROGRAM, "system popen"),
            (_CHANCE, "urandom"),
        ),
        objects={"environ": "setting:environ", "sep": SCALAR, "linesep": SCALAR, "name": SCALAR},
    ),
    Library(
        module="os.path",
        functions=table(
            (
                reads_file(0, "path", returns=SCALAR),
                "exists isfile isdir getsize getmtime islink getctime",
            ),
            (
                Effect(
                    returns=SCALAR, touches=(Touch("setting", "working directory", write=False),)
                ),
                "abspath realpath relpath",
            ),
            (
                Effect(returns=SCALAR, touches=(Touch("setting", "environ", write=False),)),
                "expanduser expandvars",
            ),
        ),
        default=PURE,
    ),
    Library(
        module="pathlib",
        functions=table(
            (Effect(returns="Path"), "Path PurePath PosixPath"),
            (
                Effect(
                    returns="Path", touches=(Touch("setting", "working directory", write=False),)
                ),
                "Path.cwd Path.home",
            ),
        ),
    ),
    Library(
        module="shutil",
        functions=table(
            (
                Effect(returns=SCALAR, reads=(0, "src"), writes=(1, "dst")),
                "copy copy2 copyfile copytree copyfileobj",
            ),
            (Effect(returns=SCALAR, writes=(0, "src", 1, "dst")), "move"),
            (writes_file(0, "path"), "rmtree"),
            (Effect(returns=SCALAR, touches=(Touch("file", ""),)), "make_archive unpack_archive"),
            (PURE, "which disk_usage get_terminal_size"),
        ),
    ),
    Library(
        module="glob",
        functions=table(
            (reads_file(0, "pathname", returns="list"), "glob"),
            (reads_file(0, "pathname", returns="iterator"), "iglob"),
            (PURE, "escape"),
        ),
    ),
    Library(
        module="tempfile",
        functions=table((_CHANCE, "mkdtemp mkstemp mktemp gettempdir")),
        default=Effect(
            returns="file",
            touches=(Touch("world", "temporary names"),),
            pinned="it is a temporary file",
        ),
    ),
    Library(
        module="io",
        functions=table(
            (Effect(returns="file", pinned=""), "StringIO BytesIO"),
            (
                Effect(
                    returns="file", reads=(0, "file"), mode=(1, "mode"), pinned="it is an open file"
                ),
                "open",
            ),
            (
                Effect(returns="file", result="holder", pinned="it is an open file"),
                "TextIOWrapper BufferedReader",
            ),
        ),
    ),
    Library(
        module="json",
        functions=_CODEC,
    ),
    Library(
        module="pickle",
        functions=_CODEC,
    ),
    Library(
        module="csv",
        functions=table(
            (_ROWS, "reader DictReader"),
            (
                Effect(returns="file", result="view", mutates=(0,), pinned="it writes a file"),
                "writer DictWriter",
            ),
            (sets("csv"), "register_dialect field_size_limit"),
        ),
    ),
    Library(
        module="gzip",
        functions=table(
            (
                Effect(
                    returns="file",
                    reads=(0, "filename"),
                    mode=(1, "mode"),
                    pinned="it is an open file",
                ),
                "open",
            ),
            (PURE, "compress decompress"),
        ),
    ),
    Library(
        module="zipfile",
        functions=table(
            (writes_file(0, "file", returns="file", pinned="it is an open file"), "ZipFile")
        ),
    ),
    Library(
        module="sqlite3",
        functions=table(
            (writes_file(0, "database", returns="file", pinned="it is a connection"), "connect")
        ),
    ),
    Library(module="subprocess", default=_PROGRAM),
    Library(
        module="threading",
        functions=table(
            (PURE, "current_thread get_ident active_count"),
            (Effect(pinned="it is a lock"), "Lock RLock Event Condition Semaphore local"),
        ),
        default=_LEFT,
    ),
    Library(module="_thread", default=_LEFT),
    Library(module="multiprocessing", functions=table((PURE, "cpu_count")), default=_LEFT),
    Library(module="concurrent.futures", default=_LEFT),
    Library(
        module="asyncio",
        functions=table(
            (PURE, "sleep iscoroutinefunction"),
            (Effect(result="holder", iterates=True), "gather wait_for wait run"),
        ),
        default=_LEFT,
    ),
    Library(module="signal", default=sets("signals")),
    Library(module="atexit", default=sets("exit handlers")),
    Library(module="urllib.request", default=_NETWORK),
    Library(module="urllib.parse", default=PURE),
    Library(
        module="socket",
        default=Effect(touches=(Touch("world", "the network"),), pinned="it is a socket"),
    ),
    Library(module="http.client", default=_NETWORK),
    Library(module="requests", default=_NETWORK),
)

TYPES = (_PATHS, Type(name="settings", default=FRESH))
