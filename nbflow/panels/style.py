"""The panel's style sheet: Jupyter's own variables, so that it follows every theme."""

from nbflow.drawing.look import AMBER, BLUE, GREEN, GREY, RED

STYLE = f"""<style>
.nbflow {{
  --nbflow-ink: var(--jp-ui-font-color1, var(--vscode-foreground, #1f2328));
  --nbflow-soft: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #57606a));
  --nbflow-line: var(--jp-border-color2, var(--vscode-panel-border, #d0d7de));
  --nbflow-ground: var(--jp-layout-color1, var(--vscode-editor-background, #fff));
  --nbflow-trough: var(--jp-layout-color2, rgba(128, 128, 128, 0.2));
  color: var(--nbflow-ink); font-family: var(--jp-ui-font-family, system-ui, sans-serif);
  font-size: 12px; line-height: 22px; font-variant-numeric: tabular-nums;
}}
.nbflow b {{ font-weight: 600; }}
.nbflow .soft {{ color: var(--nbflow-soft); }}
.nbflow .head {{ display: flex; flex-wrap: wrap; gap: 0 14px; align-items: baseline; }}
.nbflow .head .name {{ font-size: 14px; font-weight: 600; }}
.nbflow .head a {{ color: var(--jp-content-link-color, #0060c0); text-decoration: none; }}
.nbflow table {{ border-collapse: collapse; width: 100%; table-layout: auto; margin: 0; }}
.nbflow th, .nbflow td {{
  height: 22px; padding: 0 14px 0 0; text-align: left; border: 0; white-space: nowrap;
  border-bottom: 1px solid var(--nbflow-line); background: none; vertical-align: middle;
}}
.nbflow th {{
  position: sticky; top: 0; z-index: 1; background: var(--nbflow-ground);
  color: var(--nbflow-soft); font-weight: normal;
}}
.nbflow td.note {{ width: 100%; max-width: 0; overflow: hidden; text-overflow: ellipsis; }}
.nbflow td.worker {{ max-width: 130px; overflow: hidden; text-overflow: ellipsis; }}
.nbflow td.num, .nbflow th.num {{ text-align: right; }}
.nbflow .glyph {{ display: inline-block; width: 1.5em; font-weight: bold; }}
.nbflow .bar {{
  display: inline-block; width: 72px; height: 7px; margin-right: 6px; border-radius: 4px;
  background: var(--nbflow-trough); overflow: hidden; vertical-align: middle;
}}
.nbflow .head .bar {{ width: 160px; align-self: center; }}
.nbflow .bar i {{ display: block; height: 100%; background: currentColor; }}
.nbflow tr.failed td.note, .nbflow tr.backing_off td.note {{ color: var(--nbflow-ink); }}
.nbflow .blue {{ color: {BLUE}; }}
.nbflow .green {{ color: {GREEN}; }}
.nbflow .red {{ color: {RED}; }}
.nbflow .amber {{ color: {AMBER}; }}
.nbflow .grey {{ color: {GREY}; }}
[data-jp-theme-light="false"] .nbflow .blue {{ color: #4d9fff; }}
[data-jp-theme-light="false"] .nbflow .red {{ color: #f0625d; }}
</style>"""

#: Class of each colour of `nbflow.drawing.look`, so that a theme can lighten it.
COLOUR_CLASSES = {BLUE: "blue", GREEN: "green", RED: "red", AMBER: "amber", GREY: "grey"}
