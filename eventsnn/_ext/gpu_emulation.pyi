def kernel_codes() -> dict[str, str]: ...
def run(
    name: str,
    codes: str,
    arguments: bytes,
    grid: tuple[int, int],
    threads: int,
    shared: int,
    backwards: bool = ...,
) -> None: ...
