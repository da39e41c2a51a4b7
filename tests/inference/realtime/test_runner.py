"""What surrounds a live conversion while it runs."""

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from inference.realtime.runner import one_thread


def threads() -> tuple[int, list[int]]:
    """Of PyTorch, and of each library of linear algebra."""
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return torch.get_num_threads(), blas


def test_blocks_are_computed_in_one_thread_and_what_comes_after_them_in_as_many_as_before():
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threadpool_limits(2, user_api="blas"):
            before = threads()
            with one_thread():
                torch_threads, blas = threads()
                assert torch_threads == 1 and blas and set(blas) == {1}
            assert threads() == before
    finally:
        torch.set_num_threads(usual)
