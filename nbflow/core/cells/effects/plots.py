"""What matplotlib, seaborn and IPython's display do.

Under the inline backend figures are closed at the end of a cell, so that pyplot's current figure is
a matter of the cell. Where another backend is chosen, it outlives the cell: see `Effect.plots`.
"""

from nbflow.core.cells.effects.language import (
    FRESH,
    PURE,
    SCALAR,
    SELF,
    Effect,
    Library,
    Touch,
    Type,
    reads_file,
    sets,
    table,
    writes_file,
)

_DRAWS = Effect(returns="plot", plots=True)
_RC = "matplotlib settings"

LIBRARIES = (
    Library(
        module="matplotlib.pyplot",
        functions=table(
            (Effect(returns="plot", plots=True, writes=(0, "fname")), "savefig imsave"),
            (
                Effect(returns="plot", plots=True, mutates=(0,), stores=True),
                "sca figure delaxes close",
            ),
            (reads_file(0, "fname", returns="ndarray"), "imread"),
            (sets(_RC), "rc rcdefaults ion ioff style.use set_cmap switch_backend xkcd_"),
            (Effect(returns="settings"), "style.context rc_context xkcd"),
            (PURE, "get_cmap colormaps cm Normalize isinteractive get_backend fignum_exists"),
        ),
        default=_DRAWS,
        objects={"rcParams": f"setting:{_RC}", "cm": SCALAR, "style": "setting:" + _RC},
        out=("ax", "cax", "fig"),
    ),
    Library(
        module="matplotlib",
        functions=table((sets(_RC), "use rc rcdefaults set_loglevel")),
        objects={"rcParams": f"setting:{_RC}", "style": f"setting:{_RC}", "__version__": SCALAR},
        default=FRESH,
    ),
    Library(
        module="matplotlib.style",
        functions=table((Effect(returns="settings"), "context")),
        default=sets(_RC),
    ),
    Library(
        module="seaborn",
        functions=table(
            (
                sets(_RC),
                (
                    "set set_theme set_style set_context set_palette reset_defaults reset_orig "
                    "set_color_codes"
                ),
            ),
            (Effect(touches=(Touch("world", "the network"),), returns="DataFrame"), "load_dataset"),
            (
                FRESH,
                (
                    "color_palette husl_palette cubehelix_palette light_palette dark_palette "
                    "axes_style plotting_context"
                ),
            ),
        ),
        default=_DRAWS,
        out=("ax",),
    ),
    Library(
        module="IPython.display",
        functions=table(
            (PURE, "Markdown HTML Latex Math JSON Javascript Pretty IFrame YouTubeVideo"),
            (Effect(result="view"), "display"),
            (reads_file("filename", "url", returns=SCALAR), "Image SVG Audio Video"),
            (PURE, "clear_output"),
            (Effect(barrier="it updates an output of another cell", kernel=True), "update_display"),
        ),
    ),
    Library(module="tqdm", default=Effect(returns="iterator", result="iterator", iterates=True)),
    Library(
        module="PIL.Image",
        functions=table(
            (reads_file(0, "fp", returns="image"), "open"),
            (Effect(returns="image"), "fromarray new"),
        ),
    ),
    Library(
        module="joblib",
        functions=table((reads_file(0, "filename"), "load"), (writes_file(1, "filename"), "dump")),
    ),
)

_PLOT = Type(
    name="plot",
    methods=table(
        # Others have methods of these names, too: they count where a type is not known.
        (
            Effect(returns="plot", result="view", mutates=(SELF,)),
            "plot hist boxplot clear fill remove update contains",
        ),
        (Effect(returns="plot", result="view", mutates=(SELF,), writes=(0, "fname")), "savefig"),
        (
            Effect(returns="plot", result="view"),
            (
                "get_title get_xlabel get_ylabel get_xlim get_ylim get_legend_handles_labels "
                "get_size_inches get_lines get_xticks get_yticks"
            ),
        ),
    ),
    default=Effect(returns="plot", result="view", mutates=(SELF,)),
    out=("ax", "cax", "fig"),
    pinned="a figure stays where it is drawn",
)
_IMAGE = Type(
    name="image",
    methods=table(
        (writes_file(0, "fp"), "save"),
        (Effect(returns="image"), "resize crop rotate convert copy filter transpose"),
    ),
    pinned="it may have an open file",
)

TYPES = (_PLOT, _IMAGE)
