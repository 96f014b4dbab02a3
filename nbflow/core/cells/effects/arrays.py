"""What numpy, scipy, scikit-learn and numexpr do."""

from nbflow.core.cells.effects.language import (
    EVALUATES,
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

RNG = "numpy's random generator"
_ARRAY = Effect(returns="ndarray")
_ARRAY_VIEW = Effect(returns="ndarray", result="view")
_FILE = (0, "file", "fname")
_CHANGED = Effect(returns=SCALAR, mutates=(0, "a", "arr", "dst"))

_UNARY = (
    "abs absolute fabs rint sign conj conjugate exp exp2 log log2 log10 expm1 log1p sqrt square "
    "cbrt reciprocal sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh "
    "degrees radians deg2rad rad2deg invert logical_not isfinite isinf isnan signbit spacing "
    "floor ceil trunc negative positive"
)
_BINARY = (
    "add subtract multiply matmul divide logaddexp logaddexp2 true_divide floor_divide power "
    "float_power remainder mod fmod arctan2 hypot bitwise_and bitwise_or bitwise_xor left_shift "
    "right_shift greater greater_equal less less_equal not_equal equal logical_and logical_or "
    "logical_xor maximum fmax minimum fmin copysign nextafter ldexp heaviside gcd lcm dot"
)

NUMPY = Library(
    module="numpy",
    functions=table(
        (Effect(returns="ndarray", mutates=(1,)), _UNARY),
        (Effect(returns="ndarray", mutates=(2,)), _BINARY),
        (
            Effect(returns="ndarray", mutates=(3,)),
            "clip take cumsum cumprod mean std var sum prod around round",
        ),
        (
            Effect(returns="ndarray", mutates=(2,)),
            "amax amin max min any all argmax argmin median compress concatenate",
        ),
        (
            _ARRAY_VIEW,
            (
                "asarray asanyarray ascontiguousarray asfortranarray ravel reshape transpose "
                "squeeze "
                "expand_dims swapaxes moveaxis rollaxis broadcast_to broadcast_arrays atleast_1d "
                "atleast_2d atleast_3d diagonal diag split array_split hsplit vsplit dsplit real "
                "imag "
                "flip fliplr flipud rot90 frombuffer require nan_to_num array matrix asmatrix "
                "permute_dims matrix_transpose unstack meshgrid ix_"
            ),
        ),
        (Effect(returns="ndarray", unsure="memory that nobody has set"), "empty empty_like"),
        (Effect(returns="iterator", result="iterator"), "nditer ndenumerate ndindex"),
        (Effect(returns="ndarray", iterates=True), "fromiter"),
        (_CHANGED, "copyto put place putmask fill_diagonal put_along_axis resize"),
        (reads_file(*_FILE, returns="ndarray"), "load loadtxt genfromtxt fromfile fromregex"),
        (writes_file(*_FILE, 0), "save savez savez_compressed savetxt"),
        (
            Effect(returns="ndarray", writes=(0, "filename"), pinned="it is a memory map"),
            "memmap",
        ),
        (sets("numpy settings"), "seterr set_printoptions seterrcall setbufsize"),
        (Effect(returns="settings"), "errstate printoptions"),
        (Effect(result="holder"), "vectorize frompyfunc apply_along_axis apply_over_axes"),
    ),
    default=_ARRAY,
    out=("out",),
)
NUMPY_RANDOM = Library(
    module="numpy.random",
    functions=table(
        (
            Effect(returns=SCALAR, touches=(Touch("random", RNG, fresh=True),)),
            "seed set_state",
        ),
        (
            Effect(returns="Generator"),
            "default_rng RandomState Generator PCG64 MT19937 SeedSequence Philox SFC64",
        ),
        (Effect(returns=SCALAR, mutates=(0,), touches=(Touch("random", RNG),)), "shuffle"),
    ),
    default=draws(RNG, returns="ndarray"),
)
NUMPY_MODULES = (
    NUMPY,
    NUMPY_RANDOM,
    Library(module="numpy.linalg", default=_ARRAY, out=("out",)),
    Library(module="numpy.fft", default=_ARRAY, out=("out",)),
    Library(module="numpy.polynomial", default=FRESH),
    Library(module="numpy.ma", functions={}, default=_ARRAY_VIEW, out=("out",)),
    Library(module="numpy.testing", default=PURE),
    Library(module="numpy.typing", default=PURE),
    Library(module="numpy.lib"),
    Library(module="numpy.ctypeslib"),
)

NDARRAY = Type(
    name="ndarray",
    methods=table(
        (
            _ARRAY_VIEW,
            (
                "reshape ravel transpose squeeze view swapaxes diagonal __array__ getfield astype "
                "to_device"
            ),
        ),
        (
            Effect(returns=SCALAR, mutates=(SELF,)),
            "fill sort partition put itemset setflags byteswap setfield",
        ),
        (Effect(returns=SCALAR, mutates=(SELF,), owns=True), "resize"),
        (writes_file(0, "fid", "file"), "tofile dump"),
        (Effect(returns="list"), "tolist"),
        (
            _ARRAY,
            (
                "sum mean std var min max argmin argmax argsort cumsum cumprod dot copy flatten "
                "round clip any all prod nonzero repeat take trace conj conjugate searchsorted "
                "compress choose ptp toarray todense tocsr tocsc tocoo multiply getnnz"
            ),
        ),
        (PURE, "item tobytes"),
    ),
    attributes={
        "shape": SCALAR,
        "size": SCALAR,
        "ndim": SCALAR,
        "dtype": SCALAR,
        "nbytes": SCALAR,
        "T": "ndarray",
        "real": "ndarray",
        "imag": "ndarray",
        "flat": "ndarray",
        "mT": "ndarray",
    },
    copies=True,
    out=("out",),
)
GENERATOR = Type(
    name="Generator",
    methods=table(
        (Effect(returns=SCALAR, mutates=(SELF, 0)), "shuffle"),
        (
            Effect(returns="ndarray", mutates=(SELF,), iterates=True),
            "permuted choice sample choices permutation",
        ),
    ),
    default=Effect(returns="ndarray", mutates=(SELF,)),
    consumed=True,
)

_SCIPY = tuple(
    Library(module=f"scipy.{name}", default=FRESH, out=("out", "output"))
    for name in ("special", "constants", "fft", "fftpack", "signal", "sparse", "spatial", "ndimage",
                 "interpolate", "cluster", "misc", "datasets", "odr")
)  # fmt: skip
#: These call what they are given, and give back objects that may hold it.
_SCIPY_CALLING = tuple(
    Library(module=f"scipy.{name}", default=Effect(result="holder"))
    for name in ("optimize", "integrate")
)
SCIPY = (
    *_SCIPY,
    *_SCIPY_CALLING,
    Library(module="scipy.linalg", default=Effect(returns="ndarray", mutates=())),
    Library(
        module="scipy.stats",
        default=Effect(returns="distribution", touches=()),
        objects=dict.fromkeys(
            [
                "norm",
                "t",
                "uniform",
                "expon",
                "poisson",
                "binom",
                "beta",
                "gamma",
                "chi2",
                "f",
                "bernoulli",
                "lognorm",
                "randint",
                "multivariate_normal",
                "geom",
                "weibull_min",
                "pareto",
                "cauchy",
                "laplace",
                "logistic",
            ],
            "distribution",
        ),
    ),
    Library(
        module="scipy.io",
        functions=table(
            (reads_file(0, "file_name", returns="dict"), "loadmat"),
            (writes_file(0, "file_name"), "savemat"),
        ),
    ),
    Library(module="scipy"),
)
_DISTRIBUTION = Type(
    name="distribution",
    methods=table((draws(RNG, returns="ndarray", unless="random_state"), "rvs resample")),
    default=_ARRAY,
)

#: Estimators that never draw; any other draws from the global generator if it has no random_state.
_STEADY = (
    "LinearRegression Ridge Lasso ElasticNet StandardScaler MinMaxScaler RobustScaler "
    "MaxAbsScaler Normalizer OneHotEncoder OrdinalEncoder LabelEncoder LabelBinarizer "
    "PolynomialFeatures SimpleImputer KNeighborsClassifier KNeighborsRegressor GaussianNB "
    "MultinomialNB BernoulliNB CountVectorizer TfidfVectorizer TfidfTransformer "
    "ColumnTransformer make_column_transformer Binarizer SVR AgglomerativeClustering "
    "FunctionTransformer KBinsDiscretizer LinearDiscriminantAnalysis"
)
_SPLITS = Effect(returns="list", touches=(Touch("random", RNG),), unless="random_state")
_BUNCH = Effect(touches=(Touch("file", "scikit-learn's own data", write=False),))

_ESTIMATORS = [
    "linear_model",
    "ensemble",
    "tree",
    "svm",
    "neighbors",
    "naive_bayes",
    "preprocessing",
    "decomposition",
    "cluster",
    "neural_network",
    "impute",
    "feature_extraction.text",
    "compose",
    "discriminant_analysis",
    "mixture",
    "manifold",
    "gaussian_process",
    "kernel_ridge",
    "dummy",
    "feature_selection",
]
_MAKES_STEADY = Effect(returns="Estimator", result="holder")
_MAKES_RANDOM = Effect(returns="RandomEstimator", result="holder")
SKLEARN = (
    Library(module="sklearn", functions=table((sets("scikit-learn settings"), "set_config"))),
    Library(module="sklearn.metrics", default=FRESH),
    Library(module="sklearn.base", functions=table((Effect(result="holder"), "clone"))),
    Library(
        module="sklearn.datasets",
        functions=table(
            (
                Effect(touches=(Touch("world", "the network"),)),
                "fetch_openml fetch_california_housing fetch_20newsgroups",
            ),
            (_BUNCH, "load_iris load_digits load_wine load_breast_cancer load_diabetes"),
        ),
        default=_SPLITS,
    ),
    Library(
        module="sklearn.model_selection",
        functions=table(
            (_SPLITS, "train_test_split"),
            (
                Effect(
                    result="holder",
                    returns="ndarray",
                    touches=(Touch("random", RNG),),
                    mutates=(0, "estimator"),
                ),
                "cross_val_score cross_validate cross_val_predict learning_curve validation_curve",
            ),
        ),
        default=_MAKES_RANDOM,
    ),
    Library(module="sklearn.pipeline", default=_MAKES_RANDOM),
    *(
        Library(
            module=f"sklearn.{name}",
            functions=table((_MAKES_STEADY, _STEADY)),
            default=_MAKES_RANDOM,
        )
        for name in _ESTIMATORS
    ),
)
_FITS = Effect(result="view", returns="Estimator", mutates=(SELF,))
_PREDICTS = table(
    (
        _ARRAY,
        (
            "predict predict_proba transform score decision_function inverse_transform "
            "predict_log_proba get_feature_names_out score_samples apply"
        ),
    ),
    (Effect(returns="dict", result="view"), "get_params"),
)
_DRAWN = (Touch("random", RNG),)
_ESTIMATOR = Type(
    name="Estimator",
    methods=_PREDICTS
    | table(
        (_FITS, "fit partial_fit set_params"),
        (Effect(returns="ndarray", mutates=(SELF,)), "fit_transform fit_predict"),
    ),
)
_RANDOM_ESTIMATOR = Type(
    name="RandomEstimator",
    methods={
        name: Effect(
            returns=effect.returns, result=effect.result, mutates=effect.mutates, touches=_DRAWN
        )
        for name, effect in _ESTIMATOR.methods.items()
    },
)

_NUMEXPR = Library(
    module="numexpr",
    functions=table(
        (
            Effect(returns="ndarray", barrier=EVALUATES, namespace=True),
            "evaluate re_evaluate validate",
        ),
        (sets("numexpr settings"), "set_num_threads set_vml_num_threads set_vml_accuracy_mode"),
        (PURE, "detect_number_of_cores get_vml_version show_config"),
    ),
)

LIBRARIES = (*NUMPY_MODULES, *SCIPY, *SKLEARN, _NUMEXPR)
TYPES = (NDARRAY, GENERATOR, _DISTRIBUTION, _ESTIMATOR, _RANDOM_ESTIMATOR)
