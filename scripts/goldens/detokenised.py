"""detokenised.json: pages of WikiText as lm-evaluation-harness detokenises them, [page, detokenised] each.

Pages are those of the file: add one by hand with an empty second text, then run this.

    pip install --no-deps lm-eval==0.4.13        (one function of it runs, without what lm-eval needs)
    pip install numpy==2.4.6
    python scripts/goldens/detokenised.py [--check]
"""

import json
import runpy
import sys
from importlib.metadata import distribution

import common

SOURCE = "lm_eval/tasks/wikitext/preprocess_wikitext.py"


def main():
    args = common.arguments(__doc__).parse_args()
    path = common.committed("detokenised.json")
    held = path.read_text()
    detokenise = runpy.run_path(distribution("lm-eval").locate_file(SOURCE))["wikitext_detokenizer"]
    pairs = [[page, detokenise({"page": page})] for page, _ in json.loads(held)]
    text = json.dumps(pairs, ensure_ascii=False, indent=1)
    if not args.check:
        (args.out or path).write_text(text)
    elif text != held:
        sys.exit(f"{path}: differs")


if __name__ == "__main__":
    main()
