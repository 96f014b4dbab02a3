"""The panel's style sheet: Jupyter's own variables, so that it follows every theme."""

from nbflow.drawing.look import AMBER, BLUE, GREEN, GREY, RED

# The doubled class outweighs the rules that notebooks have for tables in any output.
STYLE = f"""<style>
.nbflow {{
  --nbflow-ink: var(--jp-ui-font-color1, var(--vscode-foreground, #1f2328));
  --nbflow-soft: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #57606a));
  --nbflow-line: var(--jp-border-color2, var(--vscode-panel-border, #d0d7de));
  --nbflow-ground: var(--jp-layout-color0, var(--vscode-editor-background, #fff));
  --nbflow-trough: var(--jp-layout-color2, rgba(128, 128, 128, 0.2));
  color: var(--nbflow-ink); font-family: var(--jp-ui-font-family, system-ui, sans-serif);
  font-size: 12px; line-height: 22px; font-variant-numeric: tabular-nums;
}}
.nbflow.nbflow b {{ font-weight: 600; }}
.nbflow.nbflow .soft {{ color: var(--nbflow-soft); }}
.nbflow.nbflow .head {{ display: flex; flex-wrap: wrap; gap: 0 14px; align-items: baseline; }}
.nbflow.nbflow .head .name {{ font-size: 14px; font-weight: 600; }}
.nbflow.nbflow .head a {{ color: var(--jp-content-link-color, #0060c0); text-decoration: none; }}
.nbflow.nbflow table {{ border-collapse: collapse; width: 100%; table-layout: auto; margin: 0; }}
.nbflow.nbflow tr, .nbflow.nbflow tr:hover {{ background: none; }}
.nbflow.nbflow th, .nbflow.nbflow td {{
  height: 22px; padding: 0 14px 0 0; border: 0; border-bottom: 1px solid var(--nbflow-line);
  font-size: 12px; font-weight: normal; text-align: left; vertical-align: middle;
  white-space: nowrap; max-width: none;
}}
.nbflow.nbflow thead th {{
  position: sticky; top: 0; z-index: 1; background: var(--nbflow-ground);
  color: var(--nbflow-soft);
}}
.nbflow.nbflow td.note {{ width: 100%; max-width: 0; overflow: hidden; text-overflow: ellipsis; }}
.nbflow.nbflow td.worker {{ max-width: 180px; overflow: hidden; text-overflow: ellipsis; }}
.nbflow.nbflow td.num, .nbflow.nbflow th.num {{ text-align: right; }}
.nbflow.nbflow .glyph {{ display: inline-block; width: 1.5em; font-weight: bold; }}
.nbflow.nbflow .bar {{
  display: inline-block; width: 72px; height: 7px; margin-right: 6px; border-radius: 4px;
  background: var(--nbflow-trough); overflow: hidden; vertical-align: middle;
}}
.nbflow.nbflow .head .bar {{ width: 160px; align-self: center; }}
.nbflow.nbflow .bar i {{ display: block; height: 100%; background: currentColor; }}
.nbflow.nbflow tr.failed td.note {{ white-space: normal; line-height: 17px; }}
.nbflow.nbflow .blue {{ color: {BLUE}; }}
.nbflow.nbflow .green {{ color: {GREEN}; }}
.nbflow.nbflow .red {{ color: {RED}; }}
.nbflow.nbflow .amber {{ color: {AMBER}; }}
.nbflow.nbflow .grey {{ color: {GREY}; }}
[data-jp-theme-light="false"] .nbflow.nbflow .blue {{ color: #4d9fff; }}
[data-jp-theme-light="false"] .nbflow.nbflow .red {{ color: #f0625d; }}
</style>"""

#: Class of each colour of `nbflow.drawing.look`, so that a theme can lighten it.
COLOUR_CLASSES = {BLUE: "blue", GREEN: "green", RED: "red", AMBER: "amber", GREY: "grey"}
