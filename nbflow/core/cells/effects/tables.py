"""What pandas does. A Series, an Index and a DataFrame are one type here: ``DataFrame``."""

import re

from nbflow.core.cells.effects.arrays import RNG
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

_TABLE = Effect(returns="DataFrame", inplace="inplace")
_TABLE_VIEW = Effect(returns="DataFrame", result="view", inplace="inplace")
_CALLS = Effect(returns="DataFrame", result="holder")
_PATH = (
    0,
    "filepath_or_buffer",
    "path",
    "io",
    "path_or_buf",
    "excel_writer",
    "buf",
    "path_or_buffer",
)

PANDAS = (
    Library(
        module="pandas",
        functions=table(
            (
                Effect(returns="DataFrame", result="view", iterates=True),
                (
                    "DataFrame Series Index MultiIndex Categorical DatetimeIndex RangeIndex concat "
                    "DataFrame.from_dict DataFrame.from_records MultiIndex.from_tuples "
                    "MultiIndex.from_product MultiIndex.from_arrays array"
                ),
            ),
            (
                Effect(returns="DataFrame"),
                (
                    "merge merge_asof merge_ordered pivot pivot_table melt crosstab cut qcut "
                    "get_dummies from_dummies to_datetime to_numeric to_timedelta date_range "
                    "period_range timedelta_range interval_range bdate_range isna isnull notna "
                    "notnull unique factorize wide_to_long json_normalize lreshape infer_freq"
                ),
            ),
            (
                PURE,
                (
                    "Timestamp Timedelta Period NaT DateOffset Interval Grouper NamedAgg "
                    "CategoricalDtype "
                    "DatetimeTZDtype Int64Dtype StringDtype"
                ),
            ),
            (
                reads_file(*_PATH, returns="DataFrame"),
                (
                    "read_csv read_table read_fwf read_excel read_json read_parquet read_feather "
                    "read_pickle read_hdf read_orc read_stata read_sas read_spss read_xml"
                ),
            ),
            (reads_file(0, "io", returns="list"), "read_html"),
            (
                Effect(returns="DataFrame", mutates=(1, "con")),
                "read_sql read_sql_query read_sql_table",
            ),
            (Effect(touches=(Touch("world", "the clipboard"),)), "read_clipboard"),
            (writes_file(1, "path", "filepath_or_buffer"), "to_pickle"),
            (
                writes_file(0, "path", returns="file", pinned="it is an open file"),
                "ExcelWriter HDFStore",
            ),
            (
                reads_file(0, "path_or_buffer", returns="file", pinned="it is an open file"),
                "ExcelFile",
            ),
            (sets("pandas options"), "set_option reset_option"),
            (PURE, "get_option describe_option show_versions"),
            (Effect(returns="settings"), "option_context"),
            (Effect(barrier=EVALUATES, namespace=True), "eval"),
        ),
        objects={"options": "setting:pandas options", "NA": SCALAR, "NaT": SCALAR},
    ),
    Library(module="pandas.api", default=FRESH),
    Library(module="pandas.testing", default=PURE),
    Library(module="pandas.tseries", default=PURE),
    Library(module="pandas.plotting", default=Effect(plots=True)),
)

_METHODS = table(
    (
        _TABLE,
        ("drop dropna drop_duplicates fillna ffill bfill replace rename rename_axis reset_index "
        "set_index sort_values sort_index mask where interpolate clip query_ eval_ "
        "add_categories remove_categories set_categories rename_categories reorder_categories"),
    ),
    (
        Effect(returns="DataFrame"),
        ("abs add add_prefix add_suffix all any append argmax argmin argsort asfreq asof "
        "at_time autocorr between between_time bool cat combine_first compare contains "
        "convert_dtypes corr corrwith count cov cummax cummin cumprod cumsum cumcount describe "
        "diff div divide divmod dot droplevel duplicated endswith eq equals ewm_ expanding_ "
        "explode extract extractall factorize filter findall first first_valid_index floordiv "
        "ge get_dummies get_group_ gt head_ idxmax idxmin infer_objects info isin isna isnull "
        "join_ kurt kurtosis last last_valid_index le len lower lstrip lt mad max mean median "
        "melt memory_usage merge min mod mode mul multiply ne ngroup nlargest notna notnull "
        "nsmallest nth nunique ohlc pad pct_change pivot pivot_table pow prod product quantile "
        "radd rank rdiv reindex reindex_like repeat rfloordiv rmod rmul round rpow rstrip rsub "
        "rtruediv searchsorted select_dtypes sem shift size skew slice split stack startswith "
        "std strftime strip sub subtract sum swaplevel take title to_datetime to_frame_ "
        "to_period to_timestamp total_seconds truediv truncate tz_convert tz_localize "
        "union unique unstack upper value_counts values_ var xs_ zfill day_name month_name "
        "normalize isocalendar floor ceil difference intersection symmetric_difference "
        "get_loc get_indexer isalpha isdigit isnumeric len_ tz map_ to_numpy_ sum_"),
    ),
    (
        _TABLE_VIEW,
        ("copy_ head tail squeeze transpose to_frame to_numpy view xs get assign set_axis "
        "infer reindex_ astype swapaxes pipe_ join align combine set_flags droplevel_ "
        "to_series get_level_values to_flat_index array rolling expanding ewm groupby resample "
        "get_group __array__ loc_"),
    ),
    (Effect(returns="DataFrame"), "copy"),
    (_CALLS, "apply agg aggregate transform map applymap pipe combine_ rolling_"),
    (Effect(returns="iterator", result="iterator"), "items iterrows itertuples iteritems"),
    (Effect(returns="list"), "tolist to_list to_records"),
    (Effect(result="elements"), "to_dict keys"),
    (PURE, "item first_ last_ to_string to_markdown to_html to_latex __len__"),
    (Effect(result="element", mutates=(SELF,), returns="DataFrame"), "pop"),
    (Effect(returns=SCALAR, mutates=(SELF,), stores=True), "insert update put isetitem"),
    (draws(RNG, returns="DataFrame", unless="random_state"), "sample"),
    (
        writes_file(*_PATH),
        "to_csv to_json to_parquet to_feather to_pickle to_excel to_hdf to_orc to_stata to_xml",
    ),
    (Effect(returns=SCALAR, mutates=(1, "con")), "to_sql"),
    (Effect(touches=(Touch("world", "the clipboard"),)), "to_clipboard"),
    (Effect(returns="plot", plots=True), "plot hist boxplot"),
)  # fmt: skip

DATAFRAME = Type(
    name="DataFrame",
    # A name that ends in _ only keeps a group of names in its alphabetical order.
    methods={name: each for name, each in _METHODS.items() if not re.search("[^_]_$", name)},
    attributes={
        "shape": SCALAR, "size": SCALAR, "ndim": SCALAR, "dtypes": "DataFrame", "empty": SCALAR,
        "values": "ndarray", "T": "DataFrame", "index": "DataFrame", "columns": "DataFrame",
        "loc": "DataFrame", "iloc": "DataFrame", "at": "DataFrame", "iat": "DataFrame",
        "str": "DataFrame", "dt": "DataFrame", "cat": "DataFrame", "dtype": SCALAR, "name": SCALAR,
        "plot": "plotter", "style": "DataFrame", "year": "DataFrame", "month": "DataFrame",
        "day": "DataFrame", "hour": "DataFrame", "is_unique": SCALAR,
    },
    copies=True,
    out=("out", "buf"),
)  # fmt: skip
_PLOTTER = Type(name="plotter", default=Effect(returns="plot", plots=True))

LIBRARIES = PANDAS
TYPES = (DATAFRAME, _PLOTTER)
