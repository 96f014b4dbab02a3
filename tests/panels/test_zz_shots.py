from test_panel_browser import *
def test_shot(notebook, lab):
    big = '''
import time
class Live(StagedRun):
    def clock(self): return time.time()
big = StagedRun(node("load"), node("clean","load.raw"), node("features/pixels","clean.table"), node("features/shapes","clean.table"),
  node("models/forest","features/pixels.X",retries=2), node("models/linear","features/shapes.X"), node("models/knn","features/shapes.X"), node("extra","features/shapes.X"), node("compare","models/forest.m","models/linear.m","models/knn.m"), node("report",after=["compare"]), name="digits", run_id="digits-20261121-193000-x2k3")
big.now=time.time()-60
big.succeed("load").cell("load",6,6)
big.succeed("clean").cell("clean",5,5)
big.succeed("features/pixels").succeed("features/shapes")
big.fail("models/forest","MemoryError: cannot allocate 12 GB",cell=3)
big.fail("models/linear","ValueError: Input X contains NaN. LinearRegression does not accept missing values encoded as NaN natively; consider HistGradientBoosting or an imputer", cell=4)
big.start("models/knn"); big.cell("models/knn",3,8,4,"scores = cross_val_score(knn, X, y, cv=10)")
big.queue("extra")
big.notes=("worker tcp://127.0.0.1:4123 was lost and has been replaced",)
p2 = RunPanel(big.view,big.wait_changed,lambda: None)
'''
    book = notebook(SETUP, big, "p2", "from IPython.display import HTML\nHTML(p2._repr_mimebundle_()['text/html'])", "many = StagedRun(*[node(f'n{i}') for i in range(300)])\nfor i in range(40): many.succeed(f'n{i}')\nmany.fail('n250')\np3=RunPanel(many.view,many.wait_changed,lambda:None)\np3",)
    for i in range(5): book.run(i)
    book.page.wait_for_selector(".nbflow-panel tbody tr")
    book.page.wait_for_timeout(1500)
    book.page.screenshot(path="/tmp/labE/light.png")
    book.theme("JupyterLab Dark"); book.page.wait_for_timeout(1500)
    book.page.screenshot(path="/tmp/labE/dark.png")
