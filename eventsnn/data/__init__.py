"""Sources of labelled recordings."""

from __future__ import annotations

from eventsnn.data.augment import Augmentation
from eventsnn.data.digits import load_digits
from eventsnn.data.distort import AUTHORS_DISTORTION, Distortion
from eventsnn.data.fetch import PUBLIC_SETS, fetch
from eventsnn.data.folder import Folder
from eventsnn.data.gestures import GESTURES_CAMERA, record_gesture, write_gestures
from eventsnn.data.idx import load_idx, read_idx
from eventsnn.data.images import Images
from eventsnn.data.memory import ListDataset, TonicDataset, from_tonic
from eventsnn.data.nmnist import NMNIST
from eventsnn.data.packed import Packed, join_packed, pack
from eventsnn.data.shard import Shard
from eventsnn.data.source import LabelledSource
from eventsnn.data.sources import SOURCES, open_source
from eventsnn.data.speech import CORPORA, Speech
from eventsnn.data.splits import cap_per_class, k_fold, split_validation
from eventsnn.data.synth import DIGITS_CAMERA, write_dataset, write_digits, write_idx_folder
from eventsnn.data.views import Subset
from eventsnn.data.yinyang import YinYang

__all__ = [
    "AUTHORS_DISTORTION",
    "CORPORA",
    "DIGITS_CAMERA",
    "GESTURES_CAMERA",
    "NMNIST",
    "PUBLIC_SETS",
    "SOURCES",
    "Augmentation",
    "Distortion",
    "Folder",
    "Images",
    "LabelledSource",
    "ListDataset",
    "Packed",
    "Shard",
    "Speech",
    "Subset",
    "TonicDataset",
    "YinYang",
    "cap_per_class",
    "fetch",
    "from_tonic",
    "join_packed",
    "k_fold",
    "load_digits",
    "load_idx",
    "open_source",
    "pack",
    "read_idx",
    "record_gesture",
    "split_validation",
    "write_dataset",
    "write_digits",
    "write_gestures",
    "write_idx_folder",
]
