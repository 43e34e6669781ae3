"""Run notebooks from top to bottom in fresh kernels and keep their outputs, cleaned.

    python notebooks/run.py                  # all of them, as they are committed
    python notebooks/run.py 02 03            # some
    python notebooks/run.py --smoke --keep   # tiny, in a few minutes; the files stay as they are

Cleaning takes out what does not survive in a file: widgets (the still pictures beside them stay),
progress bars, times of execution. Pictures keep 256 colours each, which halves the files, or fewer
where a file would still be too large for a quick look on the web.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import resource
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
LIMIT = 490_000  # bytes of a file
VIEW = "application/vnd.jupyter.widget-view+json"


def execute(notebook: nbformat.NotebookNode, preset: str, timeout: int = 1200) -> None:
    """Run all cells in place, in a fresh kernel in this folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    os.environ["MINISORA_PRESET"] = preset
    about = dict(kernel_name="python3", resources={"metadata": {"path": HERE}})
    client = NotebookClient(notebook, timeout=timeout, coalesce_streams=True, **about)
    client.execute()


def slim(picture: str, colors: int = 256) -> str:
    """Return a PNG (base64) in the few colours that suit it best, if that makes it smaller."""
    before, after = io.BytesIO(base64.b64decode(picture)), io.BytesIO()
    image = Image.open(before).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")  # a palette has no transparency
    image = Image.alpha_composite(white, image).convert("RGB")
    image.quantize(colors, kmeans=2, dither=Image.Dither.NONE).save(after, "PNG", optimize=True)
    return base64.b64encode(min(before.getvalue(), after.getvalue(), key=len)).decode()


def clean(notebook: nbformat.NotebookNode, colors: int = 256) -> None:
    """Take out of the outputs what would break elsewhere or changes with every run."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if VIEW in output.get("data", {}):
                del output.data[VIEW]
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = slim(output.data["image/png"], colors)
        cell.outputs = [o for o in cell.outputs if o.output_type == "stream" or o.get("data")]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="run notebooks and keep their outputs")
    parser.add_argument("names", nargs="*", help="their numbers, such as 02 (default: all)")
    parser.add_argument("--smoke", action="store_true", help="in seconds, on toy settings")
    parser.add_argument("--keep", action="store_true", help="leave the files as they are")
    args = parser.parse_args()
    paths = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
    if args.names:
        paths = [p for p in paths if p.name[:2] in args.names]
    if not paths:
        parser.error(f"no notebook {', '.join(args.names)} in {HERE.name}/")
    for path in paths:
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, "smoke" if args.smoke else "cpu")
        if not args.keep:
            beside = path.with_suffix(".tmp")
            for colors in (256, 128, 64):
                clean(notebook, colors)
                nbformat.write(notebook, beside)
                if beside.stat().st_size <= LIMIT:
                    break
            beside.replace(path)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        minutes = (time.perf_counter() - began) / 60
        print(f"{path.name}: {minutes:.1f} minutes; at most {memory:.1f} GB so far", flush=True)


if __name__ == "__main__":
    main()
