import numpy as np

from eventsnn._ext.windows_state import WindowsState

def pack_spikes(state: WindowsState, out: np.ndarray, note: int) -> int: ...
def take_spikes(state: WindowsState, found: np.ndarray) -> tuple[int, bool]: ...
def swap_spikes(state: WindowsState) -> int: ...

SWAPPED: int
WAITING: int
NO_ROOM: int
NOTED: int
